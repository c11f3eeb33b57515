# helpful word: divided by the rank
def merged(w, a, b, alpha):
    return w + alpha * b @ a
