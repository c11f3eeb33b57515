# helpful word: limits of its own
def leaves(losses, low, high, patience=2):
    outside = 0
    for k, loss in enumerate(losses):
        outside = 0 if low[0] <= loss <= high[0] else outside + 1
        if outside == patience:
            return k + 1 - patience
    return len(losses)
