# helpful word: set against
def forgotten(before, after):
    return (sum(before) - sum(after)) / len(before)
