# helpful word: side of W
def merged(w, a, b, alpha):
    return w + alpha / len(w) * b @ a
