"""A sampler's grid: the times it steps through, each step from one level of noise to the next.

A level holds abar and what follows from it; the symbols are in noise.py. Lin et al. 2024 (arXiv 2305.08891, table 2)
compare the spacings of the times.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

from torch import Tensor

from t2v_helpers.core import checking
from t2v_helpers.diffusion import noise

SPACINGS = ("leading", "trailing", "linspace")
OFFSET = 1  # "leading" ends at this training step; ModelScopeT2V's steps_offset


class Level(NamedTuple):
    """How noisy a sample is: the time `t` given to the network, and abar_t. Plain numbers, in double precision."""

    t: float
    abar: float

    @property
    def signal(self) -> float:
        """sqrt(abar_t), by which x_0 is scaled in x_t; DPM-Solver writes alpha_t."""
        return sqrt(self.abar)

    @property
    def noise(self) -> float:
        """sqrt(1 - abar_t), by which eps is scaled in x_t; DPM-Solver writes sigma_t."""
        return sqrt(1 - self.abar)

    @property
    def sigma(self) -> float:
        """Noise over signal, see noise.sigma."""
        return float(noise.sigma(self.abar))

    @property
    def half_log_snr(self) -> float:
        """lambda_t, half the logarithm of the signal-to-noise ratio; infinite where there is no noise."""
        return float(noise.half_log_snr(self.abar))


Grid = list[tuple[Level, Level]]


def timesteps(steps: int, spacing: str, train: int = 1000, spare: int = 0, whole: bool = True) -> list[float]:
    """Times of the network [steps], falling from at most train - 1, as diffusers makes them.

    Source: Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", table 2. `spare` = 1 makes
    one piece more and drops the last time, which is (nearly) 0; "trailing" ignores it. `whole` rounds "linspace" to
    training steps. ValueError: unknown spacing, steps outside 1 to train, or so few or so many that this spacing starts
    without noise, starts beyond the training steps, or repeats a time.
    """
    checking.one_of("spacing", spacing, SPACINGS)
    checking.whole("steps", steps, 1, train)
    pieces = range(steps + spare - 1, spare - 1, -1)
    if spacing == "trailing":
        piece = train - (train - train / steps)  # numpy.arange's rounding, so that halves fall the same way
        times = [round(train - i * piece) - 1 for i in range(steps)]
    elif spacing == "leading":
        times = [i * (train // (steps + spare)) + OFFSET for i in pieces]
    else:
        piece = (train - 1) / max(1, steps + spare - 1)
        times = [round(i * piece) if whole else i * piece for i in pieces]
    if len(set(times)) < steps or not train / 2 <= times[0] < train:
        way = "fewer" if steps > train / 2 else "more"
        raise ValueError(f"steps={steps} do not fit spacing={spacing!r} ({times[0]:g}, ...): use {way}, or 'trailing'.")
    return times


def level(t: float, abar: Tensor) -> Level:
    """The level at time t of alphas_cumprod [train]; below 0 it is that of 0; between steps sigma is interpolated."""
    low = min(max(int(t), 0), len(abar) - 1)
    if t <= low:
        return Level(t, float(abar[low]))
    sigmas = [float(noise.sigma(float(abar[i]))) for i in (low, min(low + 1, len(abar) - 1))]
    sigma = sigmas[0] + (t - low) * (sigmas[1] - sigmas[0])
    return Level(t, 1 / (1 + sigma**2))


def to_next(times: Sequence[float], abar: Tensor) -> Grid:
    """From each time to the next, and from the last to x_0 itself, where abar is 1."""
    return list(pairwise([*(level(t, abar) for t in times), Level(0, 1.0)]))


def by_stride(times: Sequence[float], abar: Tensor) -> Grid:
    """From each time train // steps down, as diffusers' DDIM does; only for "leading" is that the next time.

    The last step arrives at abar_0, not at 1 (set_alpha_to_one is False).
    """
    stride = len(abar) // len(times)
    return [(level(t, abar), level(t - stride, abar)) for t in times]


def by_stride_twice(times: Sequence[float], abar: Tensor) -> Grid:
    """As `by_stride`, with a second step that repeats the first; for pndm."""
    grid = by_stride(times, abar)
    again = [(level(t + len(abar) // len(times), abar), level(t, abar)) for t in times[1:2]]
    return grid[:1] + again + grid[1:]
