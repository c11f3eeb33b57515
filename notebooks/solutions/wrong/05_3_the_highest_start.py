# helpful word: not the one with the largest `.low`
def first_enough(values, measures):
    return next(v for v, m in zip(values, measures, strict=True) if m.high >= max(other.low for other in measures))
