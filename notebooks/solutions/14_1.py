from math import prod


def tokens(frames, height, width, stride, patch):
    """How many patches a clip's latents have."""
    latent_frames = 1 + (frames - 1) // stride[0]  # the first stands for itself
    places = latent_frames, height // stride[1], width // stride[2]
    return prod(size // side for size, side in zip(places, patch, strict=True))
