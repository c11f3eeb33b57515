# helpful word: by what is x_0 divided
def loss_weight(abar, target):
    return abar**0 if target == "eps" else 1 - abar
