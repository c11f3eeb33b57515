# helpful word: after the last step
def video_flops(steps, guidance, frames, unet, vae):
    return steps * ((unet / 2 if guidance == 1 else unet) + frames * vae)
