# helpful word: is a count
def forgotten(before, after):
    return sum(then and not now for then, now in zip(before, after, strict=True))
