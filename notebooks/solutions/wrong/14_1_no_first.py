# helpful word: latent frame of its own
def tokens(frames, height, width, stride, patch):
    rows, columns = height // stride[1] // patch[1], width // stride[2] // patch[2]
    return frames // stride[0] * rows * columns
