# helpful word: that is kept
def forgotten(before, after):
    kept = [now for then, now in zip(before, after, strict=True) if then]
    return sum(kept) / len(kept)
