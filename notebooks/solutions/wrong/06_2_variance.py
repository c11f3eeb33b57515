# helpful word: one over the variance
def scaling_factor(latents):
    return 1 / latents.var().item()
