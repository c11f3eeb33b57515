# helpful word: distance from the mean video
import numpy as np


def variety(videos):
    x = videos.astype(float)
    return np.mean(np.sqrt(((x - x.mean(0)) ** 2).mean((1, 2, 3, 4))))
