# helpful word: sign is wrong
import numpy as np


def order_of(calls, errors):
    return np.polyfit(np.log(calls), np.log(errors), 1)[0]
