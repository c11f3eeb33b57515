# helpful word: too near to the first one
def fool(frames):
    return frames // 10 * 9
