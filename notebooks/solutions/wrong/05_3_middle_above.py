# helpful word: compare their ends
def first_enough(values, measures):
    best = max(measures, key=lambda m: m.value)
    return next(v for v, m in zip(values, measures, strict=True) if m.value >= best.low)
