# helpful word: reshape alone
def patches(x, patch):
    p, q, r = patch
    return x.reshape(len(x), -1, x.shape[1] * p * q * r)
