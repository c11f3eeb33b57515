# helpful word: Euler's step
def heun_step(slope, x, sigma_t, sigma_s):
    return x + (sigma_s - sigma_t) * slope(x, sigma_t)
