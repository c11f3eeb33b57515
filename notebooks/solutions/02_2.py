def guided_paper(eps_cond, eps_uncond, w):
    """Classifier-free guidance as in Ho & Salimans (2022), equation 6."""
    return (1 + w) * eps_cond - w * eps_uncond  # [b c f h w]


w = 8  # guidance_scale = 1 + w
