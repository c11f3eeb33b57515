# helpful word: channels first
def patches(x, patch):
    p, q, r = patch
    b, c, f, h, w = x.shape
    x = x.reshape(b, c, f // p, p, h // q, q, w // r, r)
    return x.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(b, -1, c * p * q * r)
