"""A measured number with its interval, and the bar that it must reach. What is measured stands in bench and speed."""

import math
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A value, its 95 % interval, and the number of clips, prompts or runs behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Bar:
    """What a measure must reach: at least `bar` (at most, where `below`), better `aim`; `unit` is %, dB, x, s or ms.

    Without a bar it is only told.
    """

    what: str
    unit: str
    bar: float | None = None
    aim: float | None = None
    below: bool = False

    def reached(self, value: float) -> bool:
        """True where `value` is on the right side of the bar."""
        if self.bar is None:
            return True
        return value <= self.bar if self.below else value >= self.bar

    def row(self, m: Measure) -> str:
        """The row of a Markdown table: what, value, interval, n, bar, aim and verdict."""
        limit = "" if self.bar is None else f"{'at most' if self.below else 'at least'} {self.shown(self.bar)}"
        aim = "" if self.aim is None else self.shown(self.aim)
        verdict = "" if self.bar is None else "pass" if self.reached(m.value) else "**miss**"
        interval = f"{self.shown(m.low)} to {self.shown(m.high)}"
        return f"| {' | '.join((self.what, self.shown(m.value), interval, str(m.n), limit, aim, verdict))} |"

    def shown(self, value: float) -> str:
        """A value in the bar's unit: 0.125 is "12.5 %", and 0.125 seconds are "125 ms" where the unit is ms."""
        factor, digits = {"%": (100, 1), "dB": (1, 1), "x": (1, 2), "s": (1, 2), "ms": (1000, 1)}[self.unit]
        return f"{factor * value:.{digits}f} {self.unit}"


def of_share(share) -> Measure:
    """A counted metrics.Share as a Measure, with Wilson's interval."""
    return Measure(share.share, *share.interval, share.n)


def of_values(values: list[float]) -> Measure:
    """The mean of `values` with mean -+ 1.96 standard errors."""
    mean = statistics.fmean(values)
    half = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("inf")
    return Measure(mean, mean - half, mean + half, len(values))


def of_ratios(ratios: list[float]) -> Measure:
    """The geometric mean of `ratios`, its interval taken among the logarithms."""
    logs = of_values([math.log(ratio) for ratio in ratios])
    return Measure(*(_exp(x) for x in (logs.value, logs.low, logs.high)), logs.n)


def of_times(seconds: list[float]) -> Measure:
    """The median of `seconds`, with the fastest and the slowest run as its interval."""
    return Measure(statistics.median(seconds), min(seconds), max(seconds), len(seconds))


def of_median(values: list[float]) -> Measure:
    """The median of `values`, with the two of them between which the true one lies, 19 times in 20 at least.

    Sign test: k values below the true median are as likely as k heads in n throws (Conover 1999, section 3.2). With
    fewer than 6 values no two of them are so far apart: then the least and the largest.
    """
    n, found = len(values), sorted(values)
    tails = [sum(math.comb(n, i) for i in range(k + 1)) / 2**n for k in range(n)]
    outside = sum(tail <= 0.025 for tail in tails)  # so many may be left out on each side
    low = max(outside - 1, 0)
    return Measure(statistics.median(found), found[low], found[n - 1 - low], n)


def _exp(x: float) -> float:
    return math.inf if x > 700 else math.exp(x)
