"""How sure a measured share is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

from t2v_helpers.measures import Measure


@dataclass(frozen=True)
class Share:
    """k of n, and the 95 % interval of the true share."""

    k: int
    n: int

    def __post_init__(self):
        if not 0 <= self.k <= self.n or self.n < 1:
            raise ValueError(f"a share needs 0 <= k <= n and n >= 1, not k = {self.k} and n = {self.n}.")

    @property
    def share(self) -> float:
        """k / n."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson(self.k, self.n)

    def to_dict(self) -> dict:
        """k, n, share and interval, ready for JSON."""
        return {"k": self.k, "n": self.n, "share": self.share, "interval": list(self.interval)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{f'{self.k}/{self.n}':>11} {100 * self.share:8.1f} % {100 * low:8.1f} - {100 * high:5.1f} %"


def wilson(k: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share after k of n, 95 % by default. Wilson (1927), JASA 22, p. 209: centre -+ half."""
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(values: Sequence[float], other: Sequence[float] | None = None, seed: int = 0) -> Measure:
    """The mean of values and its 95 % interval, by drawing the seeds again 9999 times (Efron 1987, BCa).

    other: values of the same seeds in the same order. Then it is the mean of the differences values - other: what the
    seeds have in common cancels. Where all values are equal the interval is one point.
    ValueError: fewer than 2 values, unlike lengths, NaN or infinity.
    """
    values = _checked(values, other)
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return Measure(mean, mean, mean, len(values))
    drawn = stats.bootstrap((values,), np.mean, rng=np.random.default_rng(seed))
    return Measure(mean, *map(float, drawn.confidence_interval), len(values))


def _checked(values: Sequence[float], other: Sequence[float] | None) -> np.ndarray:
    values = np.asarray(values, float)
    other = np.zeros_like(values) if other is None else np.asarray(other, float)
    if values.ndim != 1 or len(values) < 2 or other.shape != values.shape:
        given = f"{list(values.shape)} and {list(other.shape)}"
        raise ValueError(f"the values are {given}; give lists of one length, with 2 numbers or more.")
    if not np.isfinite(values - other).all():
        raise ValueError("the values hold NaN or infinity: look at the videos that they come from.")
    return values - other
