# helpful word: no longer shows
import numpy as np


def fool(frames):
    other = np.zeros_like(frames)
    other[::2, :6] = 20
    return other
