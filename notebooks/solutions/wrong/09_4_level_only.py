# helpful word: 0.84 is missing
import math


def videos_for(a, b):
    return math.ceil((1.96 * (a - b).std(ddof=1) / (a - b).mean()) ** 2)
