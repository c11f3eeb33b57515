# helpful word: as if it were pure noise
def one_step(x_t, x_s, abar_t, abar_s):
    return (x_s - (1 - abar_s) ** 0.5 * x_t) / abar_s**0.5
