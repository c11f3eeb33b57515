# helpful word: also be too low
def leaves(losses, low, high, patience=2):
    outside = 0
    for k, loss in enumerate(losses):
        outside = outside + 1 if loss > high[k] else 0
        if outside == patience:
            return k + 1 - patience
    return len(losses)
