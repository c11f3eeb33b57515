# helpful word: exactly this split
from math import comb


def mcnemar(a, b):
    lost = sum(x and not y for x, y in zip(a, b, strict=True))
    won = sum(y and not x for x, y in zip(a, b, strict=True))
    k, m = min(lost, won), lost + won
    return min(1, 2 * comb(m, k) / 2**m)
