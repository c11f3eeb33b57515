# helpful word: does not multiply the work
def video_flops(steps, guidance, frames, unet, vae):
    return steps * guidance * unet + frames * vae
