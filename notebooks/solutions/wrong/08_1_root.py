# helpful word: squared, too
def loss_weight(abar, target):
    snr = abar / (1 - abar)
    return {"eps": abar**0, "x_0": 1 / snr.sqrt(), "v": 1 / abar.sqrt()}[target]
