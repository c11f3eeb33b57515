# helpful word: 1 - sigma of the way
def velocity_from(x_t, eps, sigma):
    return (eps - x_t) / sigma
