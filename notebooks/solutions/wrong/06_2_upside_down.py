# helpful word: turn it over
def scaling_factor(latents):
    return latents.std().item()
