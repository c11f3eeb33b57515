# helpful word: the fresh noise is z
def ddim_step_eta(x_t, eps, abar_t, abar_prev, eta, z):
    sigma = eta * ((1 - abar_prev) / (1 - abar_t) * (1 - abar_t / abar_prev)).sqrt()
    x_0 = (x_t - (1 - abar_t).sqrt() * eps) / abar_t.sqrt()
    return abar_prev.sqrt() * x_0 + (1 - abar_prev - sigma**2).sqrt() * eps + sigma * eps
