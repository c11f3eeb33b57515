# helpful word: upside down
def loss_weight(abar, target):
    return {"eps": abar**0, "x_0": abar / (1 - abar), "v": abar}[target]
