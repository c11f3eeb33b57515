# helpful word: with the next one alone
import numpy as np


def variety(videos):
    x = videos.astype(float)
    return np.mean(np.sqrt(((x[1:] - x[:-1]) ** 2).mean((1, 2, 3, 4))))
