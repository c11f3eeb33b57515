# helpful word: compare with the last value
def first_enough(values, measures):
    return next(v for v, m in zip(values, measures, strict=True) if m.high >= measures[-1].low)
