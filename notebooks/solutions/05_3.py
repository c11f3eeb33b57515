from math import comb


def mcnemar(a, b):
    """How often chance alone splits the seeds that differ at least as unevenly."""
    lost = sum(x and not y for x, y in zip(a, b, strict=True))
    won = sum(y and not x for x, y in zip(a, b, strict=True))
    k, m = min(lost, won), lost + won
    return min(1, 2 * sum(comb(m, i) for i in range(k + 1)) / 2**m)
