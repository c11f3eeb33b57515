# helpful word: may be chance
def leaves(losses, low, high, patience=2):
    for k, loss in enumerate(losses):
        if not low[k] <= loss <= high[k]:
            return k
    return len(losses)
