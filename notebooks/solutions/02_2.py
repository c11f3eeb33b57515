def ddim_step_eta(x_t, eps, abar_t, abar_prev, eta, z):
    """One DDIM step with fresh noise z (Song et al. 2020, equations 12 and 16)."""
    sigma = eta * ((1 - abar_prev) / (1 - abar_t) * (1 - abar_t / abar_prev)).sqrt()
    x_0 = (x_t - (1 - abar_t).sqrt() * eps) / abar_t.sqrt()  # [b c f h w]
    return abar_prev.sqrt() * x_0 + (1 - abar_prev - sigma**2).sqrt() * eps + sigma * z
