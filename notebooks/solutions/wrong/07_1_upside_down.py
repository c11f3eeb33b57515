# helpful word: upside down
def merged(w, a, b, alpha):
    return w + len(a) / alpha * b @ a
