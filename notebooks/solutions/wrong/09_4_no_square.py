# helpful word: four times as many
import math


def videos_for(a, b):
    return math.ceil(abs((1.96 + 0.84) * (a - b).std(ddof=1) / (a - b).mean()))
