# helpful word: Nothing moves
def fool(frames):
    return frames[:1].repeat(len(frames), axis=0)
