# helpful word: not with its neighbour
def first_enough(values, measures):
    return next(v for v, m, after in zip(values, measures, measures[1:], strict=False) if m.high >= after.low)
