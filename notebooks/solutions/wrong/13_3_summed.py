# helpful word: sum over the pairs
from itertools import combinations

import numpy as np


def variety(videos):
    x = videos.astype(float)
    return sum(np.sqrt(((a - b) ** 2).mean()) for a, b in combinations(x, 2))
