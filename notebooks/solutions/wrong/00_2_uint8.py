# helpful word: no numbers below 0
def motion(frames):
    return abs(frames[1:] - frames[:-1]).mean(axis=(1, 2, 3))
