def video_flops(steps, guidance, frames, unet, vae):
    """FLOPs of a video: `unet` for a guided step of all its frames,
    `vae` for decoding one of them."""
    # at guidance 1 the half without the prompt is not computed
    step = unet / 2 if guidance == 1 else unet
    return steps * step + frames * vae
