# helpful word: Roots
def velocity_from(x_t, eps, sigma):
    x_0 = (x_t - sigma**0.5 * eps) / (1 - sigma) ** 0.5
    return eps - x_0
