# helpful word: one number of each frame
def motion(frames):
    return abs(frames[1:, 0, 0, 0].astype(int) - frames[:-1, 0, 0, 0])
