# helpful word: midpoint
def heun_step(slope, x, sigma_t, sigma_s):
    half = (sigma_s - sigma_t) / 2
    return x + 2 * half * slope(x + half * slope(x, sigma_t), sigma_t + half)
