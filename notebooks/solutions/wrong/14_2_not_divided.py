# helpful word: rest of the way
def velocity_from(x_t, eps, sigma):
    return eps - x_t
