def forgotten(before, after):
    """Of what was right before, the share that is wrong now."""
    kept = [now for then, now in zip(before, after, strict=True) if then]
    return 1 - sum(kept) / len(kept)
