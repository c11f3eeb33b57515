"""Samplers compared fairly: the same noise, the same times, the same number of calls of the UNet.

Every sampler starts from the same x_t at the last training step and takes times spaced evenly from there to 0 (spacing
"trailing", Lin et al. 2024, table 2), the last step to x_0 itself. So all deterministic samplers solve the same
equation, and the distance of each from its solution can be measured: `distance` is |x - x*| / |x*| over the latents,
where x* is the result of DPM-Solver++ (2M) after CONVERGED calls. The judge reads whether the video shows what was
asked. Clips have 8 frames, half of the usual length.

The order of a method holds for smooth equations and small steps. Close to the clean video the equation is not smooth:
so the order is measured from the last training step to HALT, where some noise is left.

Cost: 30 CPU minutes, SEEDS times 488 guided calls of 0.13 CPU seconds, and FIRST times 920 more. Notebook 03 takes a
sampler out if McNemar's test shows a loss: 6 of 20 seeds, which a true loss of 45 % reaches in 94 % of tables, one of
30 % in 58 %. By the first edition's table, which had 64 seeds and 500 calls for x*: the mean distances that rank the
others have intervals of +-19 % (their logarithms spread by 0.4), notebook 09's pairs take 16 seeds, FIRST seeds give
the orders to +-0.3, enough to tell 1 from 2, and x* is 0.005 off, where the best sampler has 0.05 at 16 calls.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import checking, tables
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import grids, samplers
from t2v_helpers.metrics.estimates import Measure, of_ratios, of_share
from t2v_helpers.model import denoising
from t2v_helpers.studies.study import Study, cells

DETERMINISTIC = ("ddim", "pndm", "lms", "heun", "dpm++", "dpm++_2s", "unipc")
NAMES = (*DETERMINISTIC, "ddpm")  # euler is ddim, and euler_a is ddpm, in units of sigma: tested
CALLS = (4, 6, 10, 16)
MANY, CONVERGED = (50,), 200
HALT, ORDER_CALLS, ORDER_CONVERGED = 100, (8, 16, 32), 128
FRAMES, SEEDS, FIRST = 8, 20, 4  # MANY calls, and the order, only for the first seeds
SENTENCES = 20_262  # the seed of the prompts, used nowhere else
DRAWS = 2**31  # and up: the seeds of the noise that stochastic samplers add


def fair_grid(name: str, calls: int, abar: Tensor, halt: float | None = None) -> grids.Grid:
    """The same times for all: evenly spaced from the last training step to x_0, or to time `halt`, for `calls` calls.

    heun calls the network twice per step but for the last, pndm once more than it has steps. abar: alphas_cumprod
    [train]. ValueError: fewer than 2 calls.
    """
    checking.whole("calls", calls, 2)
    n, start = {"heun": (calls + 1) // 2, "pndm": calls - 1}.get(name, calls), len(abar) - 1
    if halt is None:
        grid = grids.to_next(grids.timesteps(n, "trailing", len(abar)), abar)
    else:
        grid = list(pairwise(grids.level(start - (start - halt) * i / n, abar) for i in range(n + 1)))
    return grid[:1] + grid if name == "pndm" else grid  # pndm takes its first step twice


def grid_through(times: Sequence[int], abar: Tensor) -> grids.Grid:
    """A grid of your own: from each time to the next, and from the last to x_0. abar: alphas_cumprod [train].

    ValueError: the times do not begin at the last training step, where the noise does, or do not fall.
    """
    last = len(abar) - 1
    asked = [checking.whole("time", t, 1, last) for t in times]
    if asked[:1] != [last] or asked != sorted(set(asked), reverse=True):
        raise ValueError(f"times={list(times)} are not allowed: begin at {last}, and let each be below the one before.")
    return grids.to_next(asked, abar)


def arrive(name: str, predict: samplers.Predict, eps: Tensor, grid: grids.Grid, seed: int = 0) -> Tensor:
    """x_s at the end of the grid, in the scale of the latents."""
    (x,) = deque(samplers.trajectory(name, predict, eps, grid, seed), maxlen=1)
    return x * grid[-1][1].signal if samplers.SAMPLERS[name].in_sigma else x


def distance(x: Tensor, converged: Tensor) -> float:
    """|x - x*| / |x*|."""
    return float((x - converged).norm() / converged.norm())


def prompt_of(seed: int) -> cartoon.Item:
    """The item of the cartoon world whose caption is the prompt of a seed."""
    return cartoon.item(SENTENCES, seed, split="all")


@torch.no_grad()
def line(pipe, seed: int, converged: int = CONVERGED) -> dict:
    """All measurements of a seed: {"seed", "prompt", "found": {name: {calls: [distance, metrics.digits]}}}.

    The first seeds have more: MANY calls, and "order".
    """
    item, first = prompt_of(seed), seed < FIRST
    predict, eps, target = problem(pipe, seed, converged)
    found = {name: {} for name in NAMES}
    for name, n in product(NAMES, CALLS + MANY if first else CALLS):
        grid = fair_grid(name, n, pipe.scheduler.alphas_cumprod)
        x = arrive(name, predict, eps, grid, seed=DRAWS + seed)
        (video,) = denoising.decode_latents(pipe, x)
        found[name][str(n)] = [round(distance(x, target), 6), metrics.digits(video, item.labels)]
    row = {"seed": seed, "prompt": item.caption, "found": found}
    return row | ({"order": order_line(pipe, seed)} if first else {})


@torch.no_grad()
def order_line(pipe, seed: int) -> dict:
    """How far each deterministic sampler is from the solution at HALT, which is Heun's: {name: {calls: distance}}."""
    predict, eps, abar = start(pipe, seed)
    target = arrive("heun", predict, eps, fair_grid("heun", ORDER_CONVERGED, abar, HALT))
    found = {name: {} for name in DETERMINISTIC}
    for name, n in product(DETERMINISTIC, ORDER_CALLS):
        x = arrive(name, predict, eps, fair_grid(name, n, abar, HALT))
        found[name][str(n)] = round(distance(x, target), 7)
    return found


def start(pipe, seed: int) -> tuple[samplers.Predict, Tensor, Tensor]:
    """The guided network, the noise [1 c f h w] and alphas_cumprod [train] for a seed."""
    spec = GenerationSpec(prompt_of(seed).caption, seed=seed, frames=FRAMES)
    return denoising.guided(pipe, spec), denoising.initial_latents(pipe, [spec]), pipe.scheduler.alphas_cumprod


def problem(pipe, seed: int, converged: int = CONVERGED) -> tuple[samplers.Predict, Tensor, Tensor]:
    """The guided network of a seed, its noise, and where that leads in `converged` calls of dpm++: both [1 c f h w]."""
    predict, eps, abar = start(pipe, seed)
    return predict, eps, arrive("dpm++", predict, eps, fair_grid("dpm++", converged, abar))


def adherence(lines: list[dict], name: str, calls: int, label: str = metrics.ALL_FOUR) -> Measure:
    """The share of seeds whose video shows what was asked, with Wilson's interval. ValueError: not in the table."""
    found = cells(lines, "found", name, calls)
    return of_share(metrics.digits_share([labels for _, labels in found], label))


def as_asked(lines: list[dict], name: str, calls: int) -> list[bool]:
    """For each seed, whether the judge reads all four labels as asked. ValueError: not in the table."""
    return [labels == "1" * len(metrics.LABELS) for _, labels in cells(lines, "found", name, calls)]


def error(lines: list[dict], name: str, calls: int) -> Measure:
    """The geometric mean of the distances, with its 95 % interval."""
    return of_ratios([distance for distance, _ in cells(lines, "found", name, calls)])


def order_error(lines: list[dict], name: str, calls: int) -> Measure:
    """The geometric mean of the distances at HALT, with its 95 % interval."""
    return of_ratios(cells(lines, "order", name, calls))


def order(lines: list[dict], name: str) -> float:
    """The order of convergence: minus the slope of the distance at HALT in a log-log plot."""
    errors = [order_error(lines, name, n).value for n in ORDER_CALLS]
    return -float(stats.linregress(np.log(ORDER_CALLS), np.log(errors)).slope)


def summary(lines: list[dict]) -> str:
    """Adherence and distance of each sampler for each number of calls."""
    rows = ([x, *(f"{adherence(lines, x, n).value:.0%} {error(lines, x, n).value:.3f}" for n in CALLS)] for x in NAMES)
    return tables.aligned([("calls", *CALLS), *rows])


STUDY = Study(
    name="comparison",
    asks="Which sampler is nearest to the solution, and shows what was asked, after as many calls of the network?",
    file="samplers.jsonl",
    seeds=SEEDS,
    minutes=15,
    head=lambda pipe: {"frames": FRAMES, "converged": CONVERGED, "calls": [*CALLS], "samplers": [*NAMES]},
    row=line,
    summary=summary,
)
