"""Estimates: a measured number with its 95 % interval, and the bar that it must reach."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from t2v_helpers.core import checking

ROUNDING = 1e-12  # of the largest value: a smaller difference counts as 0
WIDTH = 1.959964  # standard deviations, half the width of a 95 % interval


@dataclass(frozen=True)
class Measure:
    """A value, its 95 % interval, and the number of clips, prompts or runs behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Share:
    """k of n, and the 95 % interval of the true share. ValueError: not whole numbers with 0 <= k <= n and n >= 1."""

    k: int
    n: int

    def __post_init__(self):
        checking.whole("n", self.n)
        checking.whole("k", self.k, 0, self.n)

    @classmethod
    def of(cls, answers: Iterable[bool]) -> "Share":
        """How many of the answers are true. ValueError: no answers."""
        answers = list(answers)
        return cls(sum(answers), len(answers))

    @property
    def share(self) -> float:
        """k / n."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson(self.k, self.n)

    @property
    def summary(self) -> str:
        """For a sentence: "16 of 16 (81%-100%)"."""
        low, high = self.interval
        return f"{self.k:2} of {self.n} ({low:.0%}-{high:.0%})"

    def expected(self, m: int) -> tuple[int, int]:
        """The least and the most of m new answers that are expected to be true, 19 times in 20.

        The Beta-binomial prediction with Jeffreys' prior (Brown, Cai, DasGupta 2001, Statistical Science 16, p. 101).
        ValueError: m is not a whole number above 0.
        """
        checking.whole("m", m)
        low, high = stats.betabinom.ppf([0.025, 0.975], m, self.k + 0.5, self.n - self.k + 0.5)
        return int(low), int(high)

    def to_dict(self) -> dict:
        """k, n, share and interval, ready for JSON."""
        return {"k": self.k, "n": self.n, "share": self.share, "interval": list(self.interval)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{f'{self.k}/{self.n}':>11} {100 * self.share:8.1f} % {100 * low:8.1f} - {100 * high:5.1f} %"


@dataclass(frozen=True)
class Bar:
    """What a measure must reach: at least `bar` (at most, if `below`), ideally `aim`; `unit` is %, dB, x, s or ms.

    No bar: reported only.
    """

    what: str
    unit: str
    bar: float | None = None
    aim: float | None = None
    below: bool = False

    def reached(self, value: float) -> bool:
        """Whether `value` is on the right side of the bar."""
        return self.bar is None or (value <= self.bar if self.below else value >= self.bar)

    def cells(self, m: Measure) -> list[str]:
        """A row of a table: what, value, interval, n, bar, aim and verdict."""
        row = [self.what, self.shown(m.value), f"{self.shown(m.low)} to {self.shown(m.high)}", str(m.n)]
        aim = "" if self.aim is None else self.shown(self.aim)
        if self.bar is None:
            return [*row, "", aim, ""]
        limit = f"{'at most' if self.below else 'at least'} {self.shown(self.bar)}"
        return [*row, limit, aim, "pass" if self.reached(m.value) else "**miss**"]

    def shown(self, value: float) -> str:
        """A value in the bar's unit: 0.125 is "12.5 %", and 0.125 seconds are "125.0 ms" if the unit is ms."""
        factor, digits = {"%": (100, 1), "dB": (1, 1), "x": (1, 2), "s": (1, 2), "ms": (1000, 1)}[self.unit]
        return f"{factor * value:.{digits}f} {self.unit}"


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share after k of n, 0 to 1 (Wilson 1927, JASA 22, p. 209).

    Assumes that the videos are independent of each other. ValueError: k or n as in Share.
    """
    Share(k, n)
    found = stats.binomtest(k, n).proportion_ci(1 - 2 * stats.norm.sf(WIDTH), method="wilson")
    return max(0.0, float(found.low)), min(1.0, float(found.high))


def bootstrap(values: Sequence[float], other: Sequence[float] | None = None) -> Measure:
    """The mean of values and its 95 % interval, from 9999 resamples (BCa bootstrap, Efron 1987).

    other: values of the same seeds in the same order. Then it is the mean of the differences values - other: what the
    seeds have in common cancels. The unit is that of the values. Equal values give an interval of one point; with few
    values the interval is too short, since what was never seen cannot be drawn.
    ValueError: fewer than 2 values, different lengths, not numbers, NaN or infinity.
    """
    values = as_numbers("values", values)
    other = np.zeros_like(values) if other is None else as_numbers("other", other)
    if values.ndim != 1 or len(values) < 2 or other.shape != values.shape:
        given = f"{list(values.shape)} and {list(other.shape)}"
        raise ValueError(f"the values are {given}; use lists of one length, with 2 numbers or more.")
    rounding = ROUNDING * np.abs([values, other]).max()
    found = np.where(np.abs(values - other) <= rounding, 0.0, values - other)
    mean = float(found.mean())
    if np.ptp(found) <= ROUNDING * np.abs(found).max():
        return Measure(mean, mean, mean, len(found))
    drawn = stats.bootstrap((found,), np.mean, rng=np.random.default_rng(0))
    return Measure(mean, *map(float, drawn.confidence_interval), len(found))


def of_share(share: Share) -> Measure:
    """A Share as a Measure, with Wilson's interval."""
    return Measure(share.share, *share.interval, share.n)


def of_values(values: Sequence[float]) -> Measure:
    """The mean of `values`, with mean +- 1.96 standard errors; one value has an infinite interval."""
    mean = statistics.fmean(values)
    half = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.inf
    return Measure(mean, mean - half, mean + half, len(values))


def of_ratios(ratios: Sequence[float]) -> Measure:
    """The geometric mean of `ratios`, with the interval of the logarithms."""
    logs = of_values([math.log(ratio) for ratio in ratios])
    return Measure(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high), logs.n)


def of_times(seconds: Sequence[float]) -> Measure:
    """The median of `seconds`, with the fastest and the slowest run as its interval."""
    return Measure(statistics.median(seconds), min(seconds), max(seconds), len(seconds))


def of_median(values: Sequence[float]) -> Measure:
    """The median of `values`, with the interval of the sign test, at least 95 % (Conover 1999, section 3.2).

    The interval ends at two of the values. With fewer than 6 values no two are far enough apart: then it ends at the
    least and the largest.
    """
    n, found = len(values), sorted(values)
    outside = int((stats.binom.cdf(np.arange(n), n, 0.5) <= 0.025).sum())  # how many to leave out on each side
    low = max(outside - 1, 0)
    return Measure(statistics.median(found), found[low], found[n - 1 - low], n)


def as_numbers(name: str, values: Sequence) -> np.ndarray:
    """The values as a float64 array. ValueError: not numbers, rows of different lengths, NaN or infinity."""
    try:
        numbers = np.asarray(values, float)
    except (RuntimeError, TypeError, ValueError) as error:  # from torch, Python and NumPy
        why = checking.listed(str(error).split("\n")[0].rstrip("."))
        raise ValueError(f"{name} is not an array of numbers ({why}): use numbers, in rows of one length.") from error
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} holds NaN or infinity: look at the videos that the numbers come from.")
    return numbers
