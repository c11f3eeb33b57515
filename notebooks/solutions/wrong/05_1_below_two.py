# helpful word: At 1.5 both halves are needed
def video_flops(steps, guidance, frames, unet, vae):
    return steps * (unet / 2 if guidance < 2 else unet) + frames * vae
