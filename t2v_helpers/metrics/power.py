"""How many videos it takes before two ways of making them can be told apart, by simulation.

a and b are what was measured of two ways, one number a seed: a[i] and b[i] came from the same noise and the same words.
They stand for the world. A trial draws n seeds out of them, with replacement, and asks a test whether a and b differ at
the level of 5 %. The power is the share of the trials in which it says yes (Cohen 1988, "Statistical Power Analysis for
the Behavioral Sciences", chapter 1; by drawing again: Efron & Tibshirani 1993, "An Introduction to the Bootstrap",
section 25.4).

    paired      the trial takes the same seeds for both: what they have in common cancels
    unpaired    the trial draws other seeds for b, as if nobody had kept the noise the same

The difference in the table is taken for the true one. If it is luck, so is the power.
"""

import numpy as np
from scipy import stats

from t2v_helpers.metrics.intervals import Share, as_numbers, check_whole

LEVEL = 0.05
SIZES = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # seeds; below 4 no test can speak


def p_values(a: np.ndarray, b: np.ndarray, paired: bool = True) -> np.ndarray:
    """How surprising each row of a and b, both [trials n], would be if they did not differ: [trials], 0 to 1.

    Paired: Student's t of the differences; for yes and no (0 and 1) McNemar's exact test (1947, Psychometrika 12,
    p. 153). Unpaired: Welch's t (1947, Biometrika 34, p. 28). Rows that do not vary are found where they differ.
    ValueError: other shapes, n below 2, NaN or infinity.
    """
    a, b = _rows(a, b)
    if paired and np.isin(np.stack([a, b]), (0, 1)).all():
        return _mcnemar(a - b)
    return _student(a - b) if paired else _welch(a, b)


def simulated(
    a: np.ndarray, b: np.ndarray, n: int, paired: bool = True, trials: int = 1000, seed: int = 0, differ: bool = True
) -> Share:
    """The power with n seeds of each of a and b, both [seeds]: in how many of the trials a difference is found.

    differ=False tosses a coin for every seed which value is a's and which is b's. Then nothing differs, and the share
    of false alarms is found; an honest test has LEVEL or less. ValueError: values, or numbers that are not whole.
    """
    a, b = (x[0] for x in _rows(as_numbers("a", a)[None], as_numbers("b", b)[None]))
    for name, value, least in (("n", n, 2), ("trials", trials, 1), ("seed", seed, 0)):
        check_whole(name, value, least)
    rng = np.random.default_rng(seed)
    here = rng.integers(len(a), size=(trials, n))
    there = here if paired else rng.integers(len(b), size=(trials, n))
    ours, theirs = (a[here], b[there]) if differ else _tossed(a, b, here, there, rng)
    return Share(int((p_values(ours, theirs, paired) < LEVEL).sum()), trials)


def seeds_needed(
    a: np.ndarray, b: np.ndarray, power: float = 0.8, paired: bool = True, trials: int = 1000, seed: int = 0
) -> int | None:
    """The first of SIZES at which the power is reached; None where not even the last one is enough.

    Each way makes so many videos. ValueError: a power that is not between 0 and 1, and those of `simulated`.
    """
    if not isinstance(power, float) or not 0 < power < 1:
        raise ValueError(f"power={power!r} is not allowed: give a share between 0 and 1, such as 0.8.")
    return next((n for n in SIZES if simulated(a, b, n, paired, trials, seed).share >= power), None)


def _mcnemar(differences: np.ndarray) -> np.ndarray:
    """Two-sided p of a coin that fell so unevenly: only the seeds where one is right and the other wrong speak."""
    up, down = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
    return np.minimum(1, 2 * stats.binom.cdf(np.minimum(up, down), up + down, 0.5))


def _student(differences: np.ndarray) -> np.ndarray:
    n = differences.shape[1]
    return _two_sided(differences.mean(axis=1), differences.var(axis=1, ddof=1) / n, n - 1)


def _welch(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    n = a.shape[1]
    of_a, of_b = (x.var(axis=1, ddof=1) / n for x in (a, b))
    both = of_a + of_b
    freedom = (n - 1) * np.divide(both**2, of_a**2 + of_b**2, out=np.ones_like(both), where=both > 0)
    return _two_sided(a.mean(axis=1) - b.mean(axis=1), both, freedom)


def _two_sided(mean: np.ndarray, variance: np.ndarray, freedom: np.ndarray | int) -> np.ndarray:
    """p of a mean that has this variance, by Student's t; a mean of no variance is certain."""
    certain = np.where(mean == 0, 0.0, np.inf)
    t = np.divide(np.abs(mean), np.sqrt(variance), out=certain, where=variance > 0)
    return 2 * stats.t.sf(t, freedom)


def _tossed(a, b, here: np.ndarray, there: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a and b [trials n] where a coin decided for each seed whether they are swapped."""
    coins = rng.random(here.shape) < 0.5
    others = coins if here is there else rng.random(there.shape) < 0.5
    return np.where(coins, a[here], b[here]), np.where(others, b[there], a[there])


def _rows(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = as_numbers("a", a), as_numbers("b", b)
    if a.ndim != 2 or a.shape != b.shape or a.shape[1] < 2 or not a.size:
        given = f"{list(a.shape)} and {list(b.shape)}"
        raise ValueError(f"the values are {given}; give two of one length, with a number for each of 2 seeds or more.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("the values hold NaN or infinity: look at the videos that they come from.")
    return a, b
