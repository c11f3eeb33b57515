# helpful word: neighbours
def rescaled(eps_cond, eps_guided, phi):
    return phi * (eps_guided * eps_cond.std() / eps_guided.std()) + (1 - phi) * eps_guided
