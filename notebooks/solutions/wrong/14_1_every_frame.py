# helpful word: compresses along time
def tokens(frames, height, width, stride, patch):
    return frames * (height // stride[1] // patch[1]) * (width // stride[2] // patch[2])
