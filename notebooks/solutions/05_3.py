def first_enough(values, measures):
    """The first of the values whose interval overlaps that of the best."""
    best = max(measures, key=lambda m: m.value)
    return next(v for v, m in zip(values, measures, strict=True) if m.high >= best.low and m.low <= best.high)
