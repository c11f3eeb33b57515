# helpful word: the mean is wanted
def word_map(weights, places):
    return weights[-1][..., places].amax(dim=-1)
