# helpful word: side of W
def merged(w, a, b, alpha):
    return w + alpha / a.shape[1] * b @ a
