# helpful word: mean brightness
def motion(frames):
    level = frames.mean(axis=(1, 2, 3))
    return abs(level[1:] - level[:-1])
