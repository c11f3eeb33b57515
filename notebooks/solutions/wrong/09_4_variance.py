# helpful word: use std, not var
import math


def videos_for(a, b):
    return math.ceil(((1.96 + 0.84) * (a - b).var(ddof=1) / (a - b).mean()) ** 2)
