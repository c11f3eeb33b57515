# helpful word: all that are wrong now
def forgotten(before, after):
    return sum(not now for now in after) / sum(before)
