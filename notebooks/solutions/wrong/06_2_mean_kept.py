# helpful word: take the mean off first
def scaling_factor(latents):
    return 1 / latents.square().mean().sqrt().item()
