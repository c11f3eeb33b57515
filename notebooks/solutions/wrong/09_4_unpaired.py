# helpful word: Take the differences first
import math


def videos_for(a, b):
    spread = a.var(ddof=1) + b.var(ddof=1)
    return math.ceil((1.96 + 0.84) ** 2 * spread / (a.mean() - b.mean()) ** 2)
