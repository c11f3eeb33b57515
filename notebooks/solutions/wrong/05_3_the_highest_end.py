# helpful word: not the one with the largest `.high`
def first_enough(values, measures):
    best = max(measures, key=lambda m: m.high)
    return next(v for v, m in zip(values, measures, strict=True) if m.high >= best.low and m.low <= best.high)
