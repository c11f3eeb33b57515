# helpful word: That is the weight of v
def loss_weight(abar, target):
    return 1 / abar
