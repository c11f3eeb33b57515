# helpful word: W came back scaled
def merged(w, a, b, alpha):
    return alpha / len(a) * (w + b @ a)
