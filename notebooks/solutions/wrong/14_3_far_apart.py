# helpful word: neighbours
def patches(x, patch):
    p, q, r = patch
    b, c, f, h, w = x.shape
    x = x.reshape(b, c, p, f // p, q, h // q, r, w // r)
    return x.permute(0, 3, 5, 7, 1, 2, 4, 6).reshape(b, -1, c * p * q * r)
