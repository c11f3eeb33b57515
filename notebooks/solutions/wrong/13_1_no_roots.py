# helpful word: Signal and noise are the roots
def one_step(x_t, x_s, abar_t, abar_s):
    kept = (1 - abar_s) / (1 - abar_t)
    return (x_s - kept * x_t) / (abar_s - kept * abar_t)
