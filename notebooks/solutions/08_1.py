def loss_weight(abar, target):
    """By what the squared error of eps is multiplied to give that of a target."""
    factors = {"eps": abar**0, "x_0": (1 - abar) / abar, "v": 1 / abar}
    return factors[target]  # [b]
