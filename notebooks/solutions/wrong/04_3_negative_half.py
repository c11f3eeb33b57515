# helpful word: negative prompt's half
def word_map(weights, places):
    return weights[0][..., places].mean(dim=-1)
