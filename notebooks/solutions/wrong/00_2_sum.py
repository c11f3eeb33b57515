# helpful word: the mean is wanted
def motion(frames):
    whole = frames.astype(int)
    return abs(whole[1:] - whole[:-1]).sum(axis=(1, 2, 3))
