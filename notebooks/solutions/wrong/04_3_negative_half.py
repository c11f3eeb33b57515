# helpful word: negative prompt's half
def word_map(weights, tokens):
    return weights[0][..., tokens].mean(dim=-1)
