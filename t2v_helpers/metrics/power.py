"""How many videos it takes to distinguish two ways of making them, by simulation.

a and b are measurements of the two ways, one number per seed: a[i] and b[i] share their noise and prompt. A trial draws
n seeds from them, with replacement, and tests whether a and b differ at the 5 % level. The power is the share of trials
in which they do (Cohen 1988, "Statistical Power Analysis for
the Behavioral Sciences", chapter 1; by resampling: Efron & Tibshirani 1993, "An Introduction to the Bootstrap",
section 25.4).

    paired      the trial uses the same seeds for both: what they have in common cancels
    unpaired    the trial draws other seeds for b, as if the noise had not been kept the same

The measured difference is taken as the true one. If it is luck, so is the power.
"""

import warnings

import numpy as np
from scipy import stats

from t2v_helpers.core import checking
from t2v_helpers.metrics.estimates import Share, as_numbers, check_finite

LEVEL = 0.05
SIZES = (
    4,
    6,
    8,
    12,
    16,
    24,
    32,
    48,
    64,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
)  # seeds; fewer than 4 are too few


def p_values(a: np.ndarray, b: np.ndarray, paired: bool = True) -> np.ndarray:
    """The p-value of each row of a and b, both [trials n], for no difference: [trials], 0 to 1.

    Paired: Student's t of the differences; for yes and no (0 and 1) McNemar's exact test (1947, Psychometrika 12,
    p. 153). Unpaired: Welch's t (1947, Biometrika 34, p. 28). Rows of zero variance have p = 0 if they
    differ and 1 if not.
    ValueError: other shapes, n below 2, NaN or infinity.
    """
    a, b = _rows(a, b)
    if paired and np.isin(np.stack([a, b]), (0, 1)).all():
        return _mcnemar(a - b)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
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
    ours, theirs = (a[here], b[there]) if differ else _tossed(a, b, here, there, rng)
    return Share(int((p_values(ours, theirs, paired) < LEVEL).sum()), trials)


def seeds_needed(
    a: np.ndarray, b: np.ndarray, power: float = 0.8, paired: bool = True, trials: int = 1000, seed: int = 0
) -> int | None:
    """The first of SIZES, in videos of each way, that reaches the power; None if the last one does not.

    ValueError: a power that is not from 0.01 to 0.99, and those of `simulated`.
    """
    checking.number("power", power, 0.01, 0.99)
    return next((n for n in SIZES if simulated(a, b, n, paired, trials, seed).share >= power), None)


def _mcnemar(differences: np.ndarray) -> np.ndarray:
    """Two-sided exact p of the discordant pairs, in which one is right and the other wrong."""
    up, down = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
    return np.minimum(1, 2 * stats.binom.cdf(np.minimum(up, down), up + down, 0.5))


def _tossed(a, b, here: np.ndarray, there: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a and b [trials n], swapped at random for each seed."""
    coins = rng.random(here.shape) < 0.5
    others = coins if here is there else rng.random(there.shape) < 0.5
    return np.where(coins, a[here], b[here]), np.where(others, b[there], a[there])


def _rows(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = as_numbers("a", a), as_numbers("b", b)
    if a.ndim != 2 or a.shape != b.shape or a.shape[1] < 2 or not a.size:
        given = f"{list(a.shape)} and {list(b.shape)}"
        raise ValueError(f"the values are {given}; use two of one length, with a number for each of 2 seeds or more.")
    check_finite(a, b)
    return a, b
