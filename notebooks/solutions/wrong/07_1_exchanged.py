# helpful word: factors are exchanged
def merged(w, a, b, alpha):
    return w + alpha / len(a) * a @ b
