# helpful word: begins the count anew
def leaves(losses, low, high, patience=2):
    outside = [k for k, loss in enumerate(losses) if not low[k] <= loss <= high[k]]
    return outside[patience - 1] if len(outside) >= patience else len(losses)
