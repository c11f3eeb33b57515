# helpful word: long words look brighter
def word_map(weights, tokens):
    return weights[-1][..., tokens].sum(dim=-1)
