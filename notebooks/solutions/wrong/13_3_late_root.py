# helpful word: Take it for each pair
from itertools import combinations

import numpy as np


def variety(videos):
    x = videos.astype(float)
    return np.sqrt(np.mean([((a - b) ** 2).mean() for a, b in combinations(x, 2)]))
