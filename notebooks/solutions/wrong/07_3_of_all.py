# helpful word: divide by all
def forgotten(before, after):
    return (sum(then and not now for then, now in zip(before, after, strict=True))
            / len(before))
