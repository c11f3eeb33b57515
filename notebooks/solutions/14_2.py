def velocity_from(x_t, eps, sigma):
    """The velocity eps - x_0, with x_0 = (x_t - sigma eps) / (1 - sigma)."""
    return (eps - x_t) / (1 - sigma)
