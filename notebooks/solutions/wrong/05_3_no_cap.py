# helpful word: at most 1
from math import comb


def mcnemar(a, b):
    lost = sum(x and not y for x, y in zip(a, b, strict=True))
    won = sum(y and not x for x, y in zip(a, b, strict=True))
    k, m = min(lost, won), lost + won
    return 2 * sum(comb(m, i) for i in range(k + 1)) / 2**m
