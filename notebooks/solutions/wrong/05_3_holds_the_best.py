# helpful word: the two intervals overlap
def first_enough(values, measures):
    best = max(m.value for m in measures)
    return next(v for v, m in zip(values, measures, strict=True) if m.high >= best)
