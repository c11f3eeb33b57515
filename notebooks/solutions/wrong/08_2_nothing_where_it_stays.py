# helpful word: stays in its band
def leaves(losses, low, high, patience=2):
    outside = 0
    for k, loss in enumerate(losses):
        outside = 0 if low[k] <= loss <= high[k] else outside + 1
        if outside == patience:
            return k + 1 - patience
