"""How sure a measured number is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from numbers import Integral, Real

import numpy as np
from scipy import stats

from t2v_helpers.metrics.measures import Measure

ROUNDING = 1e-12  # of the largest value; a difference that is no larger is none


@dataclass(frozen=True)
class Share:
    """k of n, and the 95 % interval of the true share. ValueError: counts that are no k of n."""

    k: int
    n: int

    def __post_init__(self):
        _check_counts(self.k, self.n)

    @property
    def share(self) -> float:
        """k / n."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson(self.k, self.n)

    @property
    def told(self) -> str:
        """Such as "16 of 16 (81%-100%)", for a sentence."""
        low, high = self.interval
        return f"{self.k:2} of {self.n} ({low:.0%}-{high:.0%})"

    def to_dict(self) -> dict:
        """k, n, share and interval, ready for JSON."""
        return {"k": self.k, "n": self.n, "share": self.share, "interval": list(self.interval)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{f'{self.k}/{self.n}':>11} {100 * self.share:8.1f} % {100 * low:8.1f} - {100 * high:5.1f} %"


def wilson(k: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share after k of n, 95 % by default, 0 to 1. Wilson (1927), JASA 22, p. 209: centre -+ half.

    z: the interval's half in standard deviations. Blind to videos that are not independent of each other.
    ValueError: counts that are no k of n; a z that is no number above 0.
    """
    _check_counts(k, n)
    if isinstance(z, bool) or not isinstance(z, Real) or not 0 < z < inf:
        raise ValueError(f"z={z!r} is not allowed: give a number above 0, such as 1.96 for 95 %.")
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(values: Sequence[float], other: Sequence[float] | None = None, seed: int = 0) -> Measure:
    """The mean of values and its 95 % interval, by drawing the seeds again 9999 times (Efron 1987, BCa).

    other: values of the same seeds in the same order. Then it is the mean of the differences values - other: what the
    seeds have in common cancels. The unit is that of the values. Where all values are equal the interval is one point;
    with few values it is too short: what did not turn up cannot be drawn.
    ValueError: fewer than 2 values, unlike lengths, no numbers, NaN or infinity, a seed below 0.
    """
    check_whole("seed", seed, 0)
    values = _differences(values, other)
    mean = float(values.mean())
    if np.ptp(values) <= ROUNDING * np.abs(values).max():
        return Measure(mean, mean, mean, len(values))
    drawn = stats.bootstrap((values,), np.mean, rng=np.random.default_rng(seed))
    return Measure(mean, *map(float, drawn.confidence_interval), len(values))


def as_numbers(name: str, values: Sequence) -> np.ndarray:
    """The values as one array float64. ValueError: they are none, such as texts, or rows of unlike length."""
    try:
        return np.asarray(values, float)
    except (RuntimeError, TypeError, ValueError) as error:  # torch's, Python's and numpy's way to say so
        why = str(error).split("\n")[0].rstrip(".")
        raise ValueError(f"{name!r} is no array of numbers ({why}): give numbers, in rows of one length.") from error


def check_whole(name: str, value: int, least: int) -> None:
    """ValueError unless value is a whole number, `least` or more."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}={value!r} is not allowed: give a whole number, {least} or more.")


def _check_counts(k: int, n: int) -> None:
    if not isinstance(k, Integral) or not isinstance(n, Integral) or not 0 <= k <= n or n < 1:
        raise ValueError(f"a share needs 0 <= k <= n and n >= 1, not k = {k} and n = {n}: count whole videos.")


def _differences(values: Sequence[float], other: Sequence[float] | None) -> np.ndarray:
    values = as_numbers("values", values)
    other = np.zeros_like(values) if other is None else as_numbers("other", other)
    if values.ndim != 1 or len(values) < 2 or other.shape != values.shape:
        given = f"{list(values.shape)} and {list(other.shape)}"
        raise ValueError(f"the values are {given}; give lists of one length, with 2 numbers or more.")
    if not (np.isfinite(values).all() and np.isfinite(other).all()):
        raise ValueError("the values hold NaN or infinity: look at the videos that they come from.")
    largest = max(np.abs(values).max(), np.abs(other).max())
    return np.where(np.abs(values - other) <= ROUNDING * largest, 0.0, values - other)
