# helpful word: take the absolute value
def verdict_of(a, b):
    if (a == b).all():
        return "same bits"
    return "same within rounding" if (b.astype(int) - a).max() <= 2 else "another video"
