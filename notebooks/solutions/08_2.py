def leaves(losses, low, high, patience=2):
    """How many windows pass before `patience` of them in a row are outside the band."""
    outside = 0
    for k, loss in enumerate(losses):
        outside = 0 if low[k] <= loss <= high[k] else outside + 1
        if outside == patience:
            return k + 1 - patience
    return len(losses)
