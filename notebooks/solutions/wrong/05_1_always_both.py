# helpful word: half a step
def video_flops(steps, guidance, frames, unet, vae):
    return steps * unet + frames * vae
