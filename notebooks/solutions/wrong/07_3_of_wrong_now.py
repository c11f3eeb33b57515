# helpful word: wrong now. Divide
def forgotten(before, after):
    lost = sum(then and not now for then, now in zip(before, after, strict=True))
    return lost / sum(not now for now in after)
