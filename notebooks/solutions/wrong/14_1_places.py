# helpful word: A token is a patch
def tokens(frames, height, width, stride, patch):
    latent_frames = 1 + (frames - 1) // stride[0]
    return latent_frames * (height // stride[1]) * (width // stride[2])
