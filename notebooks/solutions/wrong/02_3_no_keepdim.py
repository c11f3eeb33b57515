# helpful word: keepdim=True
def rescaled(x_0_cond, x_0_guided, phi):
    dims = [1, 2, 3, 4]
    spread = x_0_cond.std(dims) / x_0_guided.std(dims)
    return phi * x_0_guided * spread + (1 - phi) * x_0_guided
