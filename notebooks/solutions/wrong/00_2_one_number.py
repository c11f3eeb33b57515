# helpful word: pairs of neighbours
def motion(frames):
    whole = frames.astype(int)
    return abs(whole[1:] - whole[:-1]).mean()
