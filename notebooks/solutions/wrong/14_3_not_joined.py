# helpful word: not joined
def patches(x, patch):
    p, q, r = patch
    b, c, f, h, w = x.shape
    return x.reshape(b, c, f // p, p, h // q, q, w // r, r)
