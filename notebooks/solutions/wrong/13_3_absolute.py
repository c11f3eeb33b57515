# helpful word: mean absolute difference
from itertools import combinations

import numpy as np


def variety(videos):
    x = videos.astype(float)
    return np.mean([np.abs(a - b).mean() for a, b in combinations(x, 2)])
