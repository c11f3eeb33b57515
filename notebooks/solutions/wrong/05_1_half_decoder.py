# helpful word: halves the UNet alone
def video_flops(steps, guidance, frames, unet, vae):
    return (steps * unet + frames * vae) * (0.5 if guidance == 1 else 1)
