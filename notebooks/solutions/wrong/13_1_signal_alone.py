# helpful word: Subtract the noise first
def one_step(x_t, x_s, abar_t, abar_s):
    return x_s / abar_s**0.5
