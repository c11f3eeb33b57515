# helpful word: the factor alone
def scaling_factor(latents):
    return latents / latents.std()
