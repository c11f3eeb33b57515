# helpful word: That is the mean square
from itertools import combinations

import numpy as np


def variety(videos):
    x = videos.astype(float)
    return np.mean([((a - b) ** 2).mean() for a, b in combinations(x, 2)])
