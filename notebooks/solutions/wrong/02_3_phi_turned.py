# helpful word: wrong way round
def rescaled(eps_cond, eps_guided, phi):
    dims = list(range(1, eps_cond.ndim))
    spread = eps_cond.std(dims, keepdim=True) / eps_guided.std(dims, keepdim=True)
    return (1 - phi) * eps_guided * spread + phi * eps_guided
