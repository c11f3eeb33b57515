def half_way(alphas_cumprod):
    """The first timestep at which the noise is stronger than the signal."""
    signal, noise = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()  # [1000], [1000]
    return (noise > signal).nonzero()[0].item()
