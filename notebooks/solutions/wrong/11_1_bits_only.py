# helpful word: One grey level is rounding
def verdict_of(a, b):
    return "same bits" if (a == b).all() else "another video"
