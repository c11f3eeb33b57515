# helpful word: from row to row
import numpy as np


def still(grey):
    return np.median(np.diff(grey, axis=1), axis=0)
