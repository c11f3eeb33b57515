# helpful word: the largest change
def motion(frames):
    whole = frames.astype(int)
    return abs(whole[1:] - whole[:-1]).max(axis=(1, 2, 3))
