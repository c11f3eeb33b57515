# helpful word: by a tenth at least
def fool(frames):
    return frames[::-1]
