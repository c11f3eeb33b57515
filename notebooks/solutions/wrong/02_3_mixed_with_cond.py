# helpful word: not x_0_cond
def rescaled(x_0_cond, x_0_guided, phi):
    dims = list(range(1, x_0_cond.ndim))
    spread = x_0_cond.std(dims, keepdim=True) / x_0_guided.std(dims, keepdim=True)
    return phi * x_0_guided * spread + (1 - phi) * x_0_cond
