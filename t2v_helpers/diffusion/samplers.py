"""The samplers, each from its equation: from noise to a clean sample in a few lines, as diffusers does at every step.

All share one signature, `sampler(denoise, x, grid, noises)`, and all are generators: they yield the sample after every
call of the network, so that the caller can watch, stop or compare.

    x = torch.randn(shape)                                     # [b c f h w], or any other shape
    for x in sample("ddim", model, x, steps=25): ...           # model(x_t, t) -> eps

The grid is a list of steps, each a pair of levels: from t to s. A level holds abar and derives the rest from it; the
symbols are in diffusion/noise.py. Two scales of x are in use, as in diffusers. ddpm, ddim, pndm, dpm++ and unipc keep
x_t, as the network sees it. heun and lms keep x_t / sqrt(abar_t) = x_0 + sigma_t eps, for which the probability flow is
simply dx/dsigma = eps (Karras et al. 2022, equations 1 and 3); the network gets that times sqrt(abar_t). In that scale,
ddim and ddpm are the `euler` and `euler_a` of diffusers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import expm1, inf, prod, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from t2v_helpers.core import checking
from t2v_helpers.core.seeding import generator
from t2v_helpers.diffusion import noise
from t2v_helpers.diffusion.grids import Grid, Level, by_stride, by_stride_twice, timesteps, to_next

Predict = Callable[[Tensor, float], Tensor]  # predict(x_t, t) -> eps, in the shape of x_t
Noises = Iterator[Tensor] | None  # what stochastic samplers draw at each step; the others need none


@dataclass(frozen=True)
class Denoiser:
    """A network that predicts the noise in x_t."""

    predict: Predict

    def __call__(self, x_t: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """x_0 and eps in the shape of x_t: one call of the network."""
        eps = self.predict(x_t, level.t)
        return noise.x_0_from_eps(x_t, eps, level.abar), eps


# --- the samplers


def ddpm(denoise: Denoiser, x: Tensor, grid: Grid, noises: Iterator[Tensor]) -> Iterator[Tensor]:
    """Draw x_s from the posterior q(x_s | x_t, x_0) (Ho et al. 2020, "DDPM", equations 6 and 7)."""
    for t, s in grid:
        x_0, _ = denoise(x, t)
        beta, rest = 1 - t.abar / s.abar, (1 - s.abar) / (1 - t.abar)
        mean = s.signal * beta / (1 - t.abar) * x_0 + sqrt(1 - beta) * rest * x
        x = mean + sqrt(rest * beta) * next(noises)
        yield x


def ddim(denoise: Denoiser, x: Tensor, grid: Grid, noises: Noises = None) -> Iterator[Tensor]:
    """Mix x_0 and eps in the proportions of x_s (Song et al. 2021, "DDIM", equation 12, without fresh noise)."""
    for t, s in grid:
        x_0, eps = denoise(x, t)
        x = s.signal * x_0 + s.noise * eps
        yield x


def pndm(denoise: Denoiser, x: Tensor, grid: Grid, noises: Noises = None) -> Iterator[Tensor]:
    """DDIM's step, with the last four outputs mixed by Adams-Bashforth (Liu et al. 2022, "PNDM", equations 11, 12).

    The second step of the grid repeats the first, with the mean of the outputs at its two ends.
    """
    first, answers = x, deque(maxlen=4)
    for i, (t, s) in enumerate(grid):
        if i == 1:
            x, mixed = first, (answers[0] + denoise.predict(x, s.t)) / 2
        else:
            answers.append(denoise.predict(x, t.t))
            mixed = _weighted(adams(range(len(answers)), len(answers)), answers)
        x = s.signal * noise.x_0_from_eps(x, mixed, t.abar) + s.noise * mixed
        yield x


def heun(denoise: Denoiser, x: Tensor, grid: Grid, noises: Noises = None) -> Iterator[Tensor]:
    """Take Euler's step, evaluate again at its end, and use the mean slope (Karras et al. 2022, algorithm 1)."""
    for t, s in grid:
        _, eps = denoise(x * t.signal, t)
        ahead = x + (s.sigma - t.sigma) * eps
        yield ahead
        if s.sigma > 0:
            _, eps_ahead = denoise(ahead * s.signal, s)
            x = x + (s.sigma - t.sigma) * (eps + eps_ahead) / 2
            yield x


def lms(denoise: Denoiser, x: Tensor, grid: Grid, noises: Noises = None) -> Iterator[Tensor]:
    """Integrate the polynomial through the last four slopes (Hairer et al., "Solving ODEs I", section III.5)."""
    sigmas, slopes = deque(maxlen=4), deque(maxlen=4)
    for t, s in grid:
        _, eps = denoise(x * t.signal, t)
        sigmas.append(t.sigma)
        slopes.append(eps)
        x = x + _weighted(adams(sigmas, s.sigma), slopes)
        yield x


def dpm_2m(denoise: Denoiser, x: Tensor, grid: Grid, noises: Noises = None) -> Iterator[Tensor]:
    """Hold x_0 at its midpoint, on the line through the last two (Lu et al. 2022, "DPM-Solver++", algorithm 2)."""
    past = deque(maxlen=2)
    for t, s in grid:
        past.append((t, denoise(x, t)[0]))
        x = _exact(x, _halfway(past, t, s), t, s)
        yield x


def dpm_2s(denoise: Denoiser, x: Tensor, grid: Grid, noises: Noises = None) -> Iterator[Tensor]:
    """Evaluate one step ahead, then take both steps at once, x_0 halfway (Lu et al. 2022, "DPM-Solver++", algorithm 1).

    Every second step of the grid starts again where the previous one started, except the last.
    """
    for i, (t, s) in enumerate(grid):
        if i % 2 == 0 or s.half_log_snr == inf:
            start, x_start, past = t, x, []
        past.append((t, denoise(x, t)[0]))
        x = _exact(x_start, _halfway(past, start, s), start, s)
        yield x


def unipc(denoise: Denoiser, x: Tensor, grid: Grid, noises: Noises = None) -> Iterator[Tensor]:
    """Predict as dpm_2m does, then correct with the x_0 found there (Zhao et al. 2023, "UniPC", section 3; B_2(h))."""
    past, x_start = deque(maxlen=2), x
    for t, s in grid:
        x_0, _ = denoise(x, t)
        if past:
            x = _exact(x_start, _corrected(past, x_0, t), past[-1][0], t)
        past.append((t, x_0))
        x_start, x = x, _exact(x, _halfway(past, t, s), t, s)
        yield x


# --- what they share

Point = tuple[Level, Tensor]  # a level, and the x_0 that the network saw there


def adams(nodes: Iterable[float], end: float) -> list[float]:
    """Weights [n] that integrate the polynomial through n values, at `nodes`, from the last node to `end`.

    For nodes 0, 1, 2, 3 and end 4 they are Adams and Bashforth's -9/24, 37/24, -59/24, 55/24. Each is the integral of
    a Lagrange polynomial; Gauss's rule of two points is exact for it up to the third degree, so n is 1 to 4.
    """
    nodes = list(nodes)
    middle, half = (end + nodes[-1]) / 2, (end - nodes[-1]) / 2
    points = middle - half / sqrt(3), middle + half / sqrt(3)
    return [half * sum(prod((p - b) / (a - b) for b in nodes if b != a) for p in points) for a in nodes]


def _weighted(weights: Iterable[float], values: Iterable[Tensor]) -> Tensor:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _exact(x: Tensor, x_0: Tensor, t: Level, s: Level) -> Tensor:
    """x_s if x_0 stays constant from t to s (Lu et al. 2022, "DPM-Solver++", section 4.1); this is DDIM's step."""
    return s.noise / t.noise * x - s.signal * expm1(t.half_log_snr - s.half_log_snr) * x_0


def _halfway(past: Sequence[Point], t: Level, s: Level) -> Tensor:
    """x_0 at the midpoint of lambda from t to s, on the line through two points; constant if s is infinitely far."""
    (a, x_0_a), (b, x_0_b) = past[0], past[-1]
    if len(past) == 1 or s.half_log_snr == inf:
        return x_0_b
    middle = (t.half_log_snr + s.half_log_snr) / 2
    return x_0_b + (middle - b.half_log_snr) / (b.half_log_snr - a.half_log_snr) * (x_0_b - x_0_a)


def _corrected(past: Sequence[Point], x_0: Tensor, t: Level) -> Tensor:
    """UniC: the mean x_0 of the step to t, now that x_0 at t is known (Zhao et al. 2023, section 3.1, p = 1 or 2).

    With u from 0 to 1 along the step's lambda, x_0 counts by exp(-(1 - u) h). The polynomial through two points before
    and the new one is averaged so; through one point and the new one, UniPC takes the plain mean.
    """
    (a, x_0_a), (b, x_0_b) = past[0], past[-1]
    if len(past) == 1:
        return (x_0_b + x_0) / 2
    h = t.half_log_snr - b.half_log_snr
    r = (a.half_log_snr - b.half_log_snr) / h  # the points are at u = r, 0 and 1
    mean_u = -1 / expm1(-h) - 1 / h
    mean_u2 = -1 / expm1(-h) - 2 * mean_u / h
    old = (mean_u2 - mean_u) / (r - 1)
    return x_0_b + old / r * (x_0_a - x_0_b) + (mean_u - old) * (x_0 - x_0_b)


# --- by name


class Recipe(NamedTuple):
    """What diffusers does under one name: its sampler, its own spacing, its grid, and which scale x is in."""

    sampler: Callable[..., Iterator[Tensor]]
    spacing: str
    grid: Callable[[Sequence[float], Tensor], Grid]
    spare: int = 0
    whole: bool = True
    in_sigma: bool = False


_IN_SIGMA = {"spacing": "linspace", "grid": to_next, "whole": False, "in_sigma": True}
_IN_LAMBDA = {"spacing": "linspace", "grid": to_next, "spare": 1}
SAMPLERS = {
    "ddpm": Recipe(ddpm, "leading", to_next),
    "ddim": Recipe(ddim, "leading", by_stride),
    "pndm": Recipe(pndm, "leading", by_stride_twice),
    "heun": Recipe(heun, **_IN_SIGMA),
    "lms": Recipe(lms, **_IN_SIGMA),
    "dpm++": Recipe(dpm_2m, **_IN_LAMBDA),
    "dpm++_2s": Recipe(dpm_2s, **_IN_LAMBDA),
    "unipc": Recipe(unipc, **_IN_LAMBDA),
}


def grid_for(name: str, steps: int, spacing: str | None = None, abar: Tensor | None = None) -> Grid:
    """The steps that diffusers takes under that name, from level to level; spacing None is the name's own.

    `abar` is alphas_cumprod [train], by default ModelScopeT2V's. ValueError: unknown name, and see `timesteps`.
    """
    checking.one_of("name", name, SAMPLERS)
    recipe, abar = SAMPLERS[name], noise.alphas_cumprod() if abar is None else abar
    times = timesteps(steps, spacing or recipe.spacing, len(abar), recipe.spare, recipe.whole)
    return recipe.grid(times, abar)


def draws(x: Tensor, seed: int) -> Iterator[Tensor]:
    """An endless stream of standard normal noise in the shape and dtype of x, drawn on the CPU."""
    source = generator(seed)
    while True:
        yield torch.randn(x.shape, generator=source, dtype=x.dtype).to(x.device)


def trajectory(name: str, predict: Predict, x: Tensor, grid: Grid, seed: int = 0) -> Iterator[Tensor]:
    """The sampler's x after every call, from x_t = x; predict(x_t, t) -> eps. `seed`: of the noise that it adds."""
    recipe = SAMPLERS[name]
    start = x / grid[0][0].signal if recipe.in_sigma else x
    return recipe.sampler(Denoiser(predict), start, grid, draws(x, seed))


def sample(name: str, predict: Predict, x: Tensor, steps: int, spacing: str | None = None) -> Iterator[Tensor]:
    """From standard normal x to a clean sample on diffusers' grid; yields x after every call of the network.

    ValueError, before the first call: unknown name or spacing, steps out of range.
    """
    return trajectory(name, predict, x, grid_for(name, steps, spacing))
