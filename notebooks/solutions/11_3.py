import numpy as np


def still(grey):
    """Upright edges that do not move: [f h w] -> [h w-1]."""
    change = grey[:, :, 1:] - grey[:, :, :-1]  # [f h w-1]
    return np.median(change, axis=0)
