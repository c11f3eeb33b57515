# helpful word: it must fall
def fool(frames):
    return frames[[0, 4, 1, 5, 2, 6, 3, 7]]
