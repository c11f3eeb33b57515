# helpful word: may have several
def word_map(weights, tokens):
    return weights[-1][..., tokens[0]]
