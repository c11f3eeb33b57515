# helpful word: not from x
def heun_step(slope, x, sigma_t, sigma_s):
    here = slope(x, sigma_t)
    ahead = x + (sigma_s - sigma_t) * here
    return ahead + (sigma_s - sigma_t) * (here + slope(ahead, sigma_s)) / 2
