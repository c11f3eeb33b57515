# helpful word: the mean is wanted
def word_map(weights, tokens):
    return weights[-1][..., tokens].amax(dim=-1)
