def fool(frames):
    """A quarter of the light: a dark video of the same motion,
    all of whose changes, and so all errors, are small."""
    return frames // 4
