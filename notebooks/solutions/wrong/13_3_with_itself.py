# helpful word: compared with itself as well
import numpy as np


def variety(videos):
    x = videos.astype(float)
    return np.mean([np.sqrt(((a - b) ** 2).mean()) for a in x for b in x])
