def scaling_factor(latents):
    """The number that brings latents [b c h w] to standard deviation 1."""
    return 1 / latents.std().item()
