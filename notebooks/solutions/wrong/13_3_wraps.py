# helpful word: uint8 has no numbers below 0
from itertools import combinations

import numpy as np


def variety(videos):
    pairs = combinations(videos, 2)
    return np.mean([np.sqrt(((a - b).astype(float) ** 2).mean()) for a, b in pairs])
