import math


def videos_for(a, b):
    """How many seeds it takes to find the mean difference of a and b,
    in 80 % of the experiments."""
    differences = a - b
    return math.ceil(((1.96 + 0.84) * differences.std(ddof=1) / differences.mean()) ** 2)
