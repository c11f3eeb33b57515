def patches(x, patch):
    """Latents [b c f h w] in patches [b n (c p q r)]."""
    p, q, r = patch
    b, c, f, h, w = x.shape
    x = x.reshape(b, c, f // p, p, h // q, q, w // r, r)
    x = x.permute(0, 2, 4, 6, 1, 3, 5, 7)  # [b f h w c p q r]
    return x.reshape(b, -1, c * p * q * r)  # [b n (c p q r)]
