# helpful word: neighbours
def rescaled(x_0_cond, x_0_guided, phi):
    return phi * (x_0_guided * x_0_cond.std() / x_0_guided.std()) + (1 - phi) * x_0_guided
