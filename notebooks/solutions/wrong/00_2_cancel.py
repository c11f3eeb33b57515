# helpful word: cancel
def motion(frames):
    whole = frames.astype(int)
    return (whole[1:] - whole[:-1]).mean(axis=(1, 2, 3))
