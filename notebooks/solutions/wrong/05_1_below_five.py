# helpful word: Only at guidance 1
def video_flops(steps, guidance, frames, unet, vae):
    return steps * (unet / 2 if guidance < 5 else unet) + frames * vae
