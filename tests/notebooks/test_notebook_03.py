"""Notebook 03 computes what the package computes: its functions are taken out and run."""

import math
from math import expm1, inf
from pathlib import Path

import numpy as np
import pytest
import torch
from notebook_functions import functions, source

from t2v_helpers.diffusion import grids, noise, samplers
from t2v_helpers.studies import comparison

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_scheduler_swapping.ipynb"
ABAR = noise.alphas_cumprod().double()
LINES = [
    {"seed": seed, "prompt": "", "found": {name: {str(n): [distance / n, labels] for n in comparison.CALLS} for name in
                                           comparison.NAMES}}
    for seed, distance, labels in ((0, 1.0, "1111"), (1, 4.0, "1111"))
]  # fmt: skip


HERE = {"W": 0.5, "abar": ABAR, "ALL_CALLS": comparison.CALLS, "comparison": comparison, "expm1": expm1, "inf": inf,
        "lines": LINES, "math": math, "np": np, "PROMPT": "",
        "grids": grids, "samplers": samplers, "torch": torch}  # fmt: skip
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


def test_the_mean_of_new_values_lies_where_it_is_expected_19_times_in_20():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(2000):
        low, high = HERE["expected"](rng.normal(size=50), 3)
        inside += low <= rng.normal(size=3).mean() <= high
    assert inside / 2000 == pytest.approx(0.95, abs=0.02)


def test_the_advice_follows_from_the_lines():
    assert HERE["level_with_best"](10) == list(comparison.NAMES)
    assert HERE["fewest"]("ddim", lambda name, n: n > 6) == "10"
    assert HERE["fewest"]("ddim", lambda name, n: False) == "-"
    assert HERE["fewest"]("ddim", HERE["shows_it"]) == "4"


def test_the_distance_between_videos_is_in_grey_levels():
    black, grey = (np.full((2, 4, 4, 3), level, dtype=np.uint8) for level in (0, 30))
    assert HERE["apart"]([black, grey, black]) == 15
