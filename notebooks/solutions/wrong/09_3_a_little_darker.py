# helpful word: hardly worse
def fool(frames):
    return frames // 10 * 9
