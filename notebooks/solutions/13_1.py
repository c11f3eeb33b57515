def one_step(x_t, x_s, abar_t, abar_s):
    """The x_0 with which one step of DDIM leads from x_t to x_s."""
    kept = ((1 - abar_s) / (1 - abar_t)) ** 0.5  # of the noise
    return (x_s - kept * x_t) / (abar_s**0.5 - kept * abar_t**0.5)
