# helpful word: Square first, then round up
import math


def videos_for(a, b):
    return math.ceil((1.96 + 0.84) * (a - b).std(ddof=1) / (a - b).mean()) ** 2
