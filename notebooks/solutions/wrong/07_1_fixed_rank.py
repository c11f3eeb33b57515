# helpful word: at rank 2 only
def merged(w, a, b, alpha):
    return w + alpha / 2 * b @ a
