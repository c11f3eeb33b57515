# helpful word: Compare one video with another
import numpy as np


def variety(videos):
    x = videos.astype(float)
    return np.mean(np.sqrt((np.diff(x, axis=1) ** 2).mean((1, 2, 3, 4))))
