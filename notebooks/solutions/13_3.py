from itertools import combinations

import numpy as np


def variety(videos):
    """The root mean square difference of two videos, the mean over all pairs."""
    x = videos.astype(np.float64)
    return np.mean([np.sqrt(((a - b) ** 2).mean()) for a, b in combinations(x, 2)])
