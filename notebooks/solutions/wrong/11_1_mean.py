# helpful word: look for the largest
import numpy as np


def verdict_of(a, b):
    apart = np.abs(a.astype(int) - b).mean()
    if apart == 0:
        return "same bits"
    return "same within rounding" if apart <= 2 else "another video"
