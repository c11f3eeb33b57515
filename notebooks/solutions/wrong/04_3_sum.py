# helpful word: long words look brighter
def word_map(weights, places):
    return weights[-1][..., places].sum(dim=-1)
