# helpful word: where the two steps arrive
def one_step(x_t, x_s, abar_t, abar_s):
    return x_s
