import numpy as np


def verdict_of(a, b):
    """How near two videos uint8 [f h w c] of one shape are."""
    # in int: uint8 would wrap around below 0
    largest = np.abs(a.astype(int) - b.astype(int)).max()
    if largest == 0:
        return "same bits"
    return "same within rounding" if largest <= 2 else "another video"
