def heun_step(slope, x, sigma_t, sigma_s):
    """From x at sigma_t to sigma_s, by the mean of the slopes at both ends;
    to sigma_s = 0 by the first alone."""
    here = slope(x, sigma_t)
    ahead = x + (sigma_s - sigma_t) * here  # [b c f h w]
    if sigma_s == 0:
        return ahead
    return x + (sigma_s - sigma_t) * (here + slope(ahead, sigma_s)) / 2
