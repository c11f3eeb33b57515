"""comparison: the same noise, times and calls for all, and what is read from the table.

The flow of normally distributed data is known in closed form, so the samplers are compared with its true solution.
"""

import math

import pytest
import torch

from t2v_helpers.diffusion import grids, noise, samplers
from t2v_helpers.studies import comparison

ABAR = noise.alphas_cumprod().double()
W = 0.5  # the spread of the toy's data
EPS = torch.full((1, 1, 1, 1, 1), 2.0, dtype=torch.float64)


def predict(x_t, t):
    """The best guess of the noise in x_t, where the data are normal with spread W."""
    at = grids.level(t, ABAR)
    return at.sigma * (x_t / at.signal) / (W**2 + at.sigma**2)


def exact(t, s):
    """Where the flow leads EPS from t to s."""
    return EPS * s.signal / t.signal * math.sqrt((W**2 + s.sigma**2) / (W**2 + t.sigma**2))


def error(name, calls, halt=None):
    grid = comparison.fair_grid(name, calls, ABAR, halt)
    return comparison.distance(comparison.arrive(name, predict, EPS, grid), exact(grid[0][0], grid[-1][1]))


@pytest.mark.parametrize("name", comparison.NAMES)
@pytest.mark.parametrize("calls", (2, 3, *comparison.CALLS))
def test_nobody_goes_over_the_budget_and_one_more_step_would(name, calls):
    def made(steps_calls):
        return sum(1 for _ in samplers.trajectory(name, predict, EPS, comparison.fair_grid(name, steps_calls, ABAR)))

    assert calls - 1 <= made(calls) <= calls
    assert made(calls) == calls or name == "heun"


@pytest.mark.parametrize("name", comparison.NAMES)
def test_all_begin_at_the_same_time_and_end_at_the_clean_sample(name):
    grid = comparison.fair_grid(name, 10, ABAR)
    assert grid[0][0].t == len(ABAR) - 1 and grid[-1][1].sigma == 0
    halted = comparison.fair_grid(name, 10, ABAR, halt=comparison.HALT)
    assert halted[0][0].t == len(ABAR) - 1 and halted[-1][1].t == comparison.HALT


def test_the_network_is_asked_at_the_same_times_where_the_steps_are_equal():
    times = {name: [t.t for t, _ in comparison.fair_grid(name, 10, ABAR)] for name in ("ddim", "lms", "dpm++", "unipc")}
    assert len({tuple(asked) for asked in times.values()}) == 1


@pytest.mark.parametrize("name", comparison.DETERMINISTIC)
def test_all_deterministic_samplers_reach_the_solution(name):
    few, many = error(name, 25), error(name, 400)
    assert many < 0.01 and many < few / 4


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("heun", 2)])
def test_halted_on_the_way_the_promised_order_is_kept(name, order):
    halved = math.log2(error(name, 64, comparison.HALT) / error(name, 128, comparison.HALT))
    assert halved == pytest.approx(order, abs=0.25)


def test_a_budget_of_one_call_is_refused():
    with pytest.raises(ValueError, match="calls=1"):
        comparison.fair_grid("pndm", 1, ABAR)


@pytest.mark.parametrize(
    ("times", "word"),
    [
        ([998, 500], "begin at 999"),
        ([999, 500, 500], "below the one before"),
        ([999, 100, 200], "below the one before"),
        ([], "begin at 999"),
        ([999, 0], "time=0"),
        ([999, 0.5], "time=0.5"),
    ],
)
def test_times_of_your_own_begin_with_the_noise_and_fall(times, word):
    with pytest.raises(ValueError, match=word):
        comparison.grid_through(times, ABAR)


def test_trailing_times_of_your_own_are_the_fair_grid():
    fair = comparison.fair_grid("dpm++", 6, ABAR)
    assert comparison.grid_through([t.t for t, _ in fair], ABAR) == fair


# --- the table


def test_a_line_has_a_distance_and_the_judged_labels_of_each_sampler(toy_pipe, monkeypatch):
    monkeypatch.setattr(comparison, "CALLS", (4,))
    monkeypatch.setattr(comparison, "FIRST", 0)
    line = comparison.line(toy_pipe, 0, converged=4)
    assert line["seed"] == 0 and line["prompt"] == comparison.prompt_of(0).caption
    for name in comparison.NAMES:
        distance, labels = line["found"][name]["4"]
        assert distance >= 0 and len(labels) == 4 and set(labels) <= {"0", "1"}
    assert line["found"]["dpm++"]["4"][0] == 0, "the solution is nearest to itself"
    assert line["found"]["ddpm"]["4"][0] > 0.1


def test_only_the_first_seeds_have_many_calls_and_orders(toy_pipe, monkeypatch):
    for name, value in {"CALLS": (2,), "MANY": (3,), "FIRST": 1, "order_line": lambda pipe, seed: {"ddim": {}}}.items():
        monkeypatch.setattr(comparison, name, value)
    first, second = (comparison.line(toy_pipe, seed, converged=2) for seed in range(2))
    assert set(first["found"]["ddim"]) == {"2", "3"} and first["order"] == {"ddim": {}}
    assert set(second["found"]["ddim"]) == {"2"} and "order" not in second


def row(seed, distance, labels, orders):
    found = {"ddim": {"10": [distance, labels]}}
    return {"seed": seed, "prompt": "", "found": found, "order": {"ddim": orders}}


def test_shares_means_and_orders_are_read_from_the_lines():
    orders = {str(n): 3.0 / n**2 for n in comparison.ORDER_CALLS}
    lines = [row(0, 0.1, "1111", orders), row(1, 0.4, "1011", orders)]
    assert comparison.adherence(lines, "ddim", 10).value == 0.5
    assert comparison.adherence(lines, "ddim", 10, "place").value == 1
    assert comparison.as_asked(lines, "ddim", 10) == [True, False]
    assert comparison.error(lines, "ddim", 10).value == pytest.approx(0.2)
    assert comparison.order(lines, "ddim") == pytest.approx(2)
    with pytest.raises(ValueError, match="no 11 in found ddim: it has 10"):
        comparison.adherence(lines, "ddim", 11)


def test_the_committed_table_is_what_the_study_asks():
    lines = comparison.STUDY.load()
    assert all(line["prompt"] == comparison.prompt_of(line["seed"]).caption for line in lines)
    assert sum("order" in line for line in lines) == comparison.FIRST
    assert len(comparison.summary(lines).splitlines()) == 1 + len(comparison.NAMES)
