# helpful word: use int first
import numpy as np


def verdict_of(a, b):
    largest = np.abs(a - b).max()
    if largest == 0:
        return "same bits"
    return "same within rounding" if largest <= 2 else "another video"
