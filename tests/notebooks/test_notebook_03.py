"""Notebook 03 computes what the package computes: its functions are taken out and run."""

import math
from math import expm1, inf
from pathlib import Path

import numpy as np
import pytest
import torch
from notebook_functions import functions, source

from t2v_helpers.diffusion import grids, noise, samplers
from t2v_helpers.metrics import power
from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.studies import comparison, knobs

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_scheduler_swapping.ipynb"
ABAR = noise.alphas_cumprod().double()
LINES = [
    {"seed": seed, "prompt": "", "found": {name: {str(n): [distance / n, labels] for n in comparison.CALLS} for name in
                                           comparison.NAMES}}
    for seed, distance, labels in ((0, 1.0, "1111"), (1, 4.0, "1111"))
]  # fmt: skip


HERE = {"W": 0.5, "abar": ABAR, "ALL_CALLS": comparison.CALLS, "comparison": comparison, "expm1": expm1, "inf": inf,
        "lines": LINES, "math": math, "np": np, "PROMPT": "",
        "grids": grids, "knobs": knobs, "power": power, "samplers": samplers, "torch": torch,
        "most": comparison.CALLS[-1], "best": [True, True]}  # fmt: skip
exec(source(functions(NOTEBOOK)), HERE)  # the repository's own notebook


def network(x_t, t):
    return 0.3 * x_t + 0.1 * torch.tanh(3 * x_t) + t / 1000


@pytest.mark.parametrize(("mine", "theirs"), [("ddim", "ddim"), ("dpm_2m", "dpm++")])
@pytest.mark.parametrize("calls", [1, 2, 5, 12])
def test_both_samplers_are_those_of_the_package_at_every_step(mine, theirs, calls):
    x = torch.randn(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)  # [b c f h w]
    grid = samplers.grid_for(theirs, calls, "trailing", ABAR)
    wanted = list(samplers.SAMPLERS[theirs].sampler(samplers.Denoiser(network), x, grid, None))
    found = list(HERE[mine](network, x, grid))
    assert len(found) == calls
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("halt", [None, comparison.HALT])
def test_the_toys_path_is_where_very_many_steps_arrive(halt):
    x = torch.tensor([2.0], dtype=torch.float64)
    grid = comparison.fair_grid("heun", 2000, ABAR, halt)
    end = comparison.arrive("heun", HERE["toy_predict"], x, grid)
    torch.testing.assert_close(end, HERE["toy_exact"](x, grid[0][0], grid[-1][1]), rtol=5e-3, atol=0)


def test_the_order_of_a_power_is_its_exponent():
    assert HERE["slope_of"]([2, 4, 8], [1 / 4, 1 / 16, 1 / 64]) == pytest.approx(2)


def test_your_heun_goes_down_the_toy_as_the_packages_does():
    solution = Path(NOTEBOOK).with_name("solutions") / "03_2.py"
    here = HERE.copy()
    exec(solution.read_text() + source(functions(NOTEBOOK)), here)  # the repository's own answer
    x, grid = torch.tensor([2.0], dtype=torch.float64), comparison.fair_grid("heun", 9, ABAR)
    torch.testing.assert_close(here["my_heun"](x, grid), comparison.arrive("heun", here["toy_predict"], x, grid))


@pytest.mark.parametrize(("low", "high", "said"), [(-3, -1, "less"), (1, 3, "more"), (-1, 1, "undecided")])
def test_an_interval_of_differences_gives_a_verdict_where_it_can(low, high, said):
    assert HERE["verdict"](Measure((low + high) / 2, low, high, 16)) == said


def losing(name: str, lost: int, n: int = 8) -> list[dict]:
    """LINES n times over, where a sampler loses the first `lost` videos and is the nearest to the solution."""
    rows = [{"seed": i, "prompt": "", "found": {other: dict(LINES[0]["found"][other]) for other in comparison.NAMES}}
            for i in range(n)]  # fmt: skip
    for i, row in enumerate(rows):
        row["found"][name] = {str(k): [0.01, "1110" if i < lost else "1111"] for k in comparison.CALLS}
    return rows


@pytest.mark.parametrize(("lost", "stays"), [(0, True), (5, True), (6, False), (8, False)])
def test_a_sampler_stays_until_the_paired_test_distinguishes_it(lost, stays, monkeypatch):
    monkeypatch.setitem(HERE, "lines", losing("lms", lost))
    assert ("lms" in HERE["contenders"](10)) == stays
    assert (HERE["nearest"](HERE["contenders"](10), 10) == "lms") == stays


def test_the_answer_is_the_first_budget_that_is_enough():
    assert HERE["fewest"](lambda name, n: n >= 10) == "`ddim` with 10 calls"
    assert HERE["fewest"](lambda name, n: name == "heun" and n >= 6) == "`heun` with 6 calls"
    assert HERE["fewest"](lambda name, n: False) == "more than 16 calls"
    assert HERE["draft"]("ddim", 4) and not HERE["keep"]("ddim", 4)
