# helpful word: with the first one
def motion(frames):
    whole = frames.astype(int)
    return abs(whole[1:] - whole[0]).mean(axis=(1, 2, 3))
