# helpful word: may have several
def word_map(weights, places):
    return weights[-1][..., places[0]]
