"""How many videos it takes to distinguish two ways of making them, by simulation.

a and b are measurements of the two ways, one number per seed: a[i] and b[i] share their noise and prompt. A trial draws
n seeds from them, with replacement, and tests whether a and b differ at the 5 % level. The power is the share of trials
in which they do (Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", chapter 1; by resampling: Efron
& Tibshirani 1993, "An Introduction to the Bootstrap", section 25.4).

    paired      the trial uses the same seeds for both: what they have in common cancels
    unpaired    the trial draws other seeds for b, as if the noise had not been kept the same

The measured difference is taken as the true one. If it is luck, so is the power.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from t2v_helpers.core import checking
from t2v_helpers.metrics.estimates import Share, as_numbers

LEVEL = 0.05
SIZES = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # seeds; fewer are too few


@dataclass(frozen=True)
class Pairs:
    """Of n seeds, before and after a change: how many were lost (right before, wrong after), and how many won."""

    lost: int
    won: int
    n: int

    @classmethod
    def of(cls, before: Sequence[bool], after: Sequence[bool]) -> "Pairs":
        """Compare two lists of yes and no, of the same seeds in the same order. ValueError: other lengths, no seeds."""
        if len(before) != len(after) or not len(before):
            raise ValueError(f"before and after have {len(before)} and {len(after)} seeds; use the same ones for both.")
        both = [(bool(a), bool(b)) for a, b in zip(before, after, strict=True)]
        return cls(both.count((True, False)), both.count((False, True)), len(both))

    @property
    def p(self) -> float:
        """How often chance alone gives a split at least as uneven: McNemar's exact test (1947, Psychometrika 12)."""
        return float(_mcnemar(self.lost, self.won))

    @property
    def differ(self) -> bool:
        """Whether p is below LEVEL."""
        return self.p < LEVEL

    @property
    def summary(self) -> str:
        """For a sentence: "6 lost, 0 won of 32, p = 0.03"."""
        chance = f"p = {self.p:.2g}" if self.p >= 0.001 else "p < 0.001"
        return f"{self.lost} lost, {self.won} won of {self.n}, {chance}"

    @property
    def verdict(self) -> str:
        """The test's word, with its numbers: "fewer (6 lost, 0 won of 32, p = 0.03)"; or "more", or "not shown"."""
        word = "more" if self.won > self.lost else "fewer"
        return f"{word if self.differ else 'not shown'} ({self.summary})"


def p_values(a: np.ndarray, b: np.ndarray, paired: bool = True) -> np.ndarray:
    """The p-value of each row of a and b, both [trials n], for no difference: [trials], 0 to 1.

    Paired: Student's t of the differences; for yes and no (0 and 1) McNemar's exact test (1947, Psychometrika 12,
    p. 153). Unpaired: Welch's t (1947, Biometrika 34, p. 28). Rows of zero variance have p = 0 if they
    differ and 1 if not.
    ValueError: other shapes, n below 2, NaN or infinity.
    """
    a, b = _rows(a, b)
    if paired and np.isin(np.stack([a, b]), (0, 1)).all():
        up, down = (a > b).sum(axis=1), (a < b).sum(axis=1)  # the discordant pairs: one is right, the other wrong
        return _mcnemar(down, up)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows of zero variance
        test = stats.ttest_rel(a, b, axis=1) if paired else stats.ttest_ind(a, b, axis=1, equal_var=False)
    return np.nan_to_num(test.pvalue, nan=1.0)


def simulated(
    a: np.ndarray, b: np.ndarray, n: int, paired: bool = True, trials: int = 1000, seed: int = 0, differ: bool = True
) -> Share:
    """The power with n seeds of a and b, both [seeds]: the share of trials that find a difference.

    differ=False swaps a and b at random for every seed, so that nothing differs and the share is that of false alarms:
    LEVEL or less for a valid test. ValueError: values, numbers that are not whole.
    """
    a, b = (x[0] for x in _rows(as_numbers("a", a)[None], as_numbers("b", b)[None]))
    for name, value, least in (("n", n, 2), ("trials", trials, 1), ("seed", seed, 0)):
        checking.whole(name, value, least)
    rng = np.random.default_rng(seed)
    here = rng.integers(len(a), size=(trials, n))
    there = here if paired else rng.integers(len(b), size=(trials, n))
    ours, theirs = a[here], b[there]
    if not differ:
        coins = rng.random(here.shape) < 0.5
        others = coins if paired else rng.random(there.shape) < 0.5
        ours, theirs = np.where(coins, ours, b[here]), np.where(others, theirs, a[there])
    return Share(int((p_values(ours, theirs, paired) < LEVEL).sum()), trials)


def seeds_needed(a: np.ndarray, b: np.ndarray, power: float = 0.8, paired: bool = True) -> int | None:
    """The first of SIZES, in videos of each way, that reaches the power; None if the last one does not.

    ValueError: a power that is not from 0.01 to 0.99, and those of `simulated`.
    """
    checking.number("power", power, 0.01, 0.99)
    return next((n for n in SIZES if simulated(a, b, n, paired).share >= power), None)


def _mcnemar(lost: np.ndarray | int, won: np.ndarray | int) -> np.ndarray:
    """The p-value of McNemar's exact test, for each pair of counts; 1 where no seed changed."""
    return np.minimum(1, 2 * stats.binom.cdf(np.minimum(lost, won), lost + won, 0.5))


def _rows(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = as_numbers("a", a), as_numbers("b", b)
    if a.ndim != 2 or a.shape != b.shape or a.shape[1] < 2 or not a.size:
        given = f"{list(a.shape)} and {list(b.shape)}"
        raise ValueError(f"the values are {given}; use two of one length, with a number for each of 2 seeds or more.")
    return a, b
