# helpful word: changed the frozen W
def merged(w, a, b, alpha):
    w += alpha / len(a) * b @ a
    return w
