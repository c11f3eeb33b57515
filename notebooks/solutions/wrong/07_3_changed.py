# helpful word: what was won as lost
def forgotten(before, after):
    return sum(then != now for then, now in zip(before, after, strict=True)) / sum(before)
