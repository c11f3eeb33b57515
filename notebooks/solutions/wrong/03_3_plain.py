# helpful word: logarithm of both
import numpy as np


def order_of(calls, errors):
    return -np.polyfit(calls, errors, 1)[0]
