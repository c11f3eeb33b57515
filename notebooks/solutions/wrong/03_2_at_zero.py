# helpful word: at sigma = 0
def heun_step(slope, x, sigma_t, sigma_s):
    here = slope(x, sigma_t)
    ahead = x + (sigma_s - sigma_t) * here
    return x + (sigma_s - sigma_t) * (here + slope(ahead, sigma_s)) / 2
