"""Samplers compared fairly: the same noise, the same times, the same number of calls of the UNet.

    python -m t2v_helpers.studies.comparison  # goes on where it was stopped; the table is benchmarks/samplers.jsonl

Every sampler starts from the same x_t at the last training step and goes to times that lie evenly between there and 0
(spacing "trailing", Lin et al. 2024, table 2), the last step to x_0 itself. So all deterministic ones solve one and
the same equation, and how far each is from its solution can be measured: `distance` is |x - x*| / |x*| over the
latents, where x* is what DPM-Solver++ (2M) reaches in CONVERGED calls. Whether the video shows what was asked is read
by the judge. Clips have 8 frames, half of the usual length, so that the table is made in hours, not in a day.

The order of a method is a promise for smooth equations and small steps. Close to the clean video the equation is not
smooth: so the order is measured on the way from the last training step to HALT, where some noise is left.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import arguments, paths, seeding
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import grids, samplers
from t2v_helpers.metrics.estimates import Measure, of_ratios, of_share
from t2v_helpers.model import generate, loading
from t2v_helpers.studies import study
from t2v_helpers.studies.study import weights

TABLE = paths.BENCHMARKS / "samplers.jsonl"
COMMAND = "python -m t2v_helpers.studies.comparison"
DETERMINISTIC = ("ddim", "pndm", "lms", "heun", "dpm++", "dpm++_2s", "unipc")
NAMES = (*DETERMINISTIC, "ddpm")  # euler is ddim, and euler_a is ddpm, in the scale of sigma: a test shows it
CALLS = (4, 6, 10, 16, 25, 50)
MANY, CONVERGED = (100, 200), 500
HALT, ORDER_CALLS, ORDER_CONVERGED = 100, (8, 16, 32, 64), 256
FRAMES, SEEDS, FIRST = 8, 64, 16  # many calls, and the order, are measured for the first seeds alone
SENTENCES = 20_262  # the seed of the prompts; training uses other streams, and bench another one
DRAWS = 2**31  # and more: the seeds of what stochastic samplers draw on the way

Predict = Callable[[Tensor, float], Tensor]


# --- one run


def steps_for(name: str, calls: int) -> int:
    """The most steps for which a sampler calls the network at most `calls` times: heun twice a step but the last,
    pndm once more than steps. ValueError: fewer than 2 calls, which leave those two without a step."""
    if calls < 2:
        raise ValueError(f"calls={calls} is out of range: use 2 or more, since pndm needs one call more than steps.")
    return {"heun": (calls + 1) // 2, "pndm": calls - 1}.get(name, calls)


def fair_grid(name: str, calls: int, abar: Tensor, halt: float | None = None) -> grids.Grid:
    """The same times for all: evenly down from the last training step, and to x_0; or to time `halt`, and no further.

    abar: alphas_cumprod [train].
    """
    n, start = steps_for(name, calls), len(abar) - 1
    if halt is None:
        grid = grids.to_next(grids.timesteps(n, "trailing", len(abar)), abar)
    else:
        grid = list(pairwise(grids.level(start - (start - halt) * i / n, abar) for i in range(n + 1)))
    return grid[:1] + grid if name == "pndm" else grid  # pndm goes over its first step twice


def trajectory(name: str, predict: Predict, eps: Tensor, grid: grids.Grid, seed: int = 0) -> Iterator[Tensor]:
    """The sampler's x after every call, from x_t = eps; predict(x_t, t) -> eps. It draws on the way from `seed`."""
    recipe, noises = samplers.SAMPLERS[name], samplers.draws(eps, seeding.generator(seed))
    x = eps / grid[0][0].signal if recipe.in_sigma else eps
    return recipe.sampler(samplers.Denoiser(predict), x, grid, noises)


def arrive(name: str, predict: Predict, eps: Tensor, grid: grids.Grid, seed: int = 0) -> Tensor:
    """x_s at the end of the grid, whatever scale the sampler holds it in."""
    (x,) = deque(trajectory(name, predict, eps, grid, seed), maxlen=1)
    return x * grid[-1][1].signal if samplers.SAMPLERS[name].in_sigma else x


def distance(x: Tensor, converged: Tensor) -> float:
    """|x - x*| / |x*|."""
    return float((x - converged).norm() / converged.norm())


# --- one seed


def prompt_of(seed: int) -> cartoon.Item:
    """The item of the cartoon world whose caption a seed is asked for."""
    return cartoon.item(SENTENCES, seed, split="all")


@torch.no_grad()
def line(pipe, seed: int, calls: Sequence[int] = CALLS, converged: int = CONVERGED) -> dict:
    """What each sampler makes of one seed: {"seed", "prompt", "found": {name: {calls: [distance, labels right]}}}.

    The labels are a word of four digits: 1011 says that subject, place and style were read as asked, and action not.
    """
    item = prompt_of(seed)
    predict, eps, abar = start(pipe, seed)
    target = arrive("dpm++", predict, eps, fair_grid("dpm++", converged, abar))
    found = {name: {} for name in NAMES}
    for name, n in product(NAMES, calls):
        x = arrive(name, predict, eps, fair_grid(name, n, abar), seed=DRAWS + seed)
        found[name][str(n)] = [round(distance(x, target), 6), right(pipe, x, item.labels)]
    return {"seed": seed, "prompt": item.caption, "found": found}


@torch.no_grad()
def order_line(pipe, seed: int, calls: Sequence[int] = ORDER_CALLS, converged: int = ORDER_CONVERGED) -> dict:
    """How far each deterministic sampler is from the solution at HALT: {name: {calls: distance}}. The solution is
    Heun's."""
    predict, eps, abar = start(pipe, seed)
    target = arrive("heun", predict, eps, fair_grid("heun", converged, abar, HALT))
    found = {name: {} for name in DETERMINISTIC}
    for name, n in product(DETERMINISTIC, calls):
        x = arrive(name, predict, eps, fair_grid(name, n, abar, HALT))
        found[name][str(n)] = round(distance(x, target), 7)
    return found


def start(pipe, seed: int) -> tuple[Predict, Tensor, Tensor]:
    """The guided network, the noise [1 c f h w] and alphas_cumprod [train] for a seed."""
    spec = GenerationSpec(prompt_of(seed).caption, seed=seed, frames=FRAMES)
    return generate.guided(pipe, spec), generate.initial_latents(pipe, [spec]), pipe.scheduler.alphas_cumprod


def right(pipe, latents: Tensor, asked: cartoon.Labels) -> str:
    """For latents [1 c f h w], a digit for each label: 1 where the judge reads what was asked."""
    (seen,) = metrics.read(generate.decode_latents(pipe, latents))
    return "".join(str(int(getattr(seen, label) == getattr(asked, label))) for label in metrics.LABELS)


# --- the table


def make(pipe, seeds: Iterable[int], table: Path = TABLE) -> Path:
    """Add the line of every seed that the table lacks, each written when it is done. Errors: those of `study.make`."""
    head = {"command": COMMAND, "weights": weights(), "frames": FRAMES, "converged": CONVERGED}
    return study.make(table, head, seeds, lambda seed: whole_line(pipe, seed), "samplers")


def whole_line(pipe, seed: int) -> dict:
    """All that is measured for a seed: the first ones have more."""
    if seed >= FIRST:
        return line(pipe, seed)
    return line(pipe, seed, CALLS + MANY) | {"order": order_line(pipe, seed)}


def about(table: Path = TABLE) -> dict:
    """The first line of the table: how it was made."""
    return study.read(table, COMMAND)[0]


def load(table: Path = TABLE) -> list[dict]:
    """The lines of the seeds. Errors: FileNotFoundError (not made yet), ValueError (no such table)."""
    return study.read(table, COMMAND)[1:]


def adherence(lines: list[dict], name: str, calls: int, label: str = metrics.ALL_FOUR) -> Measure:
    """The share of seeds whose video shows what was asked, with Wilson's 95 % interval."""
    digits = [found[1] for found in _cells(lines, name, calls)]
    counted = [d == "1111" if label == metrics.ALL_FOUR else d[metrics.LABELS.index(label)] == "1" for d in digits]
    return of_share(metrics.Share(sum(counted), len(counted)))


def error(lines: list[dict], name: str, calls: int) -> Measure:
    """The geometric mean of the distances, with its 95 % interval."""
    return of_ratios([found[0] for found in _cells(lines, name, calls)])


def _cells(lines: list[dict], name: str, calls: int) -> list[list]:
    cells = [row["found"][name][str(calls)] for row in lines if str(calls) in row["found"].get(name, {})]
    if not cells:
        raise ValueError(f"the table has no {name!r} at {calls} calls: it has {', '.join(NAMES)} at {CALLS + MANY}.")
    return cells


def order_error(lines: list[dict], name: str, calls: int) -> Measure:
    """The geometric mean of the distances at HALT, with its 95 % interval."""
    return of_ratios([row["order"][name][str(calls)] for row in lines if "order" in row])


def order(lines: list[dict], name: str) -> float:
    """How fast the distance at HALT falls: the slope of the line through its log-log plot, without the sign."""
    x = np.log([*ORDER_CALLS])
    y = np.log([order_error(lines, name, n).value for n in ORDER_CALLS])
    return -float(np.polyfit(x, y, 1)[0])


def _print(lines: list[dict]) -> None:
    for name in NAMES:
        shares = (f"{n}: {adherence(lines, name, n).value:4.0%} {error(lines, name, n).value:.3f}" for n in CALLS)
        print(f"{name:9} {'   '.join(shares)}")


def main(argv: list[str] | None = None) -> int:
    """Make the table, and print adherence and distance of each sampler for each number of calls."""
    p = arguments.Parser(prog=COMMAND, description="Compare the samplers; goes on where it was stopped.")
    p.add_argument("--seeds", type=arguments.whole(SEEDS), default=SEEDS, help="how many: 0, 1, 2 ... (%(default)s)")
    p.add_argument("--table", type=arguments.path, default=TABLE, help="where the lines go (%(default)s)")
    options = p.parse_args(argv)
    try:
        _print(load(make(loading.load("cartoon", quiet=True), range(options.seeds), options.table)))
    except (OSError, ValueError, MemoryError) as problem:
        p.error(str(problem))
    return 0


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    raise SystemExit(main())
