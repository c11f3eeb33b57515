# helpful word: all three
def motion(frames):
    red = frames[..., 0].astype(int)
    return abs(red[1:] - red[:-1]).mean(axis=(1, 2))
