import numpy as np


def order_of(calls, errors):
    """How fast the errors fall: the slope of the line through the log-log plot,
    without its sign."""
    slope, _ = np.polyfit(np.log(calls), np.log(errors), 1)
    return -slope
