# helpful word: At 9 both halves are needed
def video_flops(steps, guidance, frames, unet, vae):
    return steps * unet / 2 + frames * vae
