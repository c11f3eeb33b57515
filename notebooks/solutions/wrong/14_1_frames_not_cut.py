# helpful word: side along time
def tokens(frames, height, width, stride, patch):
    latent_frames = 1 + (frames - 1) // stride[0]
    rows, columns = height // stride[1] // patch[1], width // stride[2] // patch[2]
    return latent_frames * rows * columns
