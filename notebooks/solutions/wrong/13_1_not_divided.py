# helpful word: Divide it by what stands before x_0
def one_step(x_t, x_s, abar_t, abar_s):
    return x_s - ((1 - abar_s) / (1 - abar_t)) ** 0.5 * x_t
