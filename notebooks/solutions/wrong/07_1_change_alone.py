# helpful word: The frozen W
def merged(w, a, b, alpha):
    return alpha / len(a) * b @ a
