# helpful word: sigma grows towards the noise
def velocity_from(x_t, eps, sigma):
    return (x_t - sigma * eps) / (1 - sigma) - eps
