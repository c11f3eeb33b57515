"""samplers: each is held against the scheduler of diffusers, from the same noise with the same network, at every step.

The tiny network knows about the answer for data that is standard normal (eps = sqrt(1 - abar_t) x_t, v = 0), and adds
something of its own that is not linear. Differences are measured in the scale of x_t, in which values are about 1:
x_t / sqrt(abar_t) goes up to 60, where two neighbouring numbers of float32 are 4e-6 apart.
"""

import inspect
from itertools import pairwise

import pytest
import torch
from torch import nn

from t2v_helpers.diffusion import grids, noise, samplers, schedulers

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # diffusers calls numpy as before 2.0
ABAR = noise.alphas_cumprod()
NAMES = pytest.mark.parametrize("name", samplers.SAMPLERS)
SPACED = [
    pytest.param(name, spacing, id=f"{name}-{spacing}")
    for name in samplers.SAMPLERS
    for spacing in (grids.SPACINGS if name != "dpm++_2s" else ["linspace"])  # diffusers gives it no other
]
STEPS = (2, 3, 5, 10, 25, 50)


@pytest.fixture(scope="module")
def config(hub_pipe):
    return hub_pipe.scheduler.config


@pytest.fixture(scope="module")
def start():
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


SEED = 5


def generator():
    return torch.Generator().manual_seed(SEED)


def tiny():
    conv = nn.Conv2d(4, 4, 3, padding=1, bias=False).requires_grad_(False)
    conv.weight.copy_(torch.randn(conv.weight.shape, generator=torch.Generator().manual_seed(1)) * 0.15)

    def model(x_t, t):
        return grids.level(float(t), ABAR).noise * x_t + 0.1 * conv(x_t).tanh()

    return model


def scheduler_of(name, config, steps, spacing=None):
    made = spaced(schedulers.make(name, config), spacing)
    made.set_timesteps(steps)
    return made


def spaced(made, spacing):
    """The same scheduler with another spacing of its times; None: its own."""
    return schedulers.build(type(made), {**made.config, "timestep_spacing": spacing}) if spacing else made


def theirs(scheduler, model, start):
    """x after every call of the network, as the loop of any pipeline of diffusers does it from x_t = start."""
    x = start * (1 if scheduler.init_noise_sigma == 1 else (1 + scheduler.sigmas[0] ** 2) ** 0.5)
    drawing = "generator" in inspect.signature(scheduler.step).parameters
    extra = {"generator": generator()} if drawing else {}
    for t in scheduler.timesteps:
        x = scheduler.step(model(scheduler.scale_model_input(x, t), t), t, x, **extra).prev_sample
        yield x


def scales(name, scheduler):
    """By what x is multiplied to be x_t, after every call."""
    if not samplers.SAMPLERS[name].in_sigma:
        return [1.0] * len(scheduler.timesteps)
    return (1 + scheduler.sigmas[1:] ** 2) ** -0.5


def difference(ours, others, scale):
    ours, others = list(ours), list(others)
    assert len(ours) == len(others) == len(scale)
    return max(float((a - b).abs().max() * s) for a, b, s in zip(ours, others, scale, strict=True))


@pytest.mark.parametrize("name, spacing", SPACED)
def test_equal_to_diffusers_at_every_step(config, start, name, spacing):
    model = tiny()
    for steps in STEPS:
        scheduler = scheduler_of(name, config, steps, spacing)
        grid = samplers.grid_for(name, steps, spacing)
        ours = samplers.trajectory(name, model, start, grid, SEED)
        # a step from sigma = 14 down to 0.03 is one from numbers as large as 60, whose rounding then shows
        atol = 3e-5 if samplers.SAMPLERS[name].in_sigma and steps < 5 else 1e-5
        assert difference(ours, theirs(scheduler, model, start), scales(name, scheduler)) <= atol, steps


@NAMES
def test_the_spacing_is_the_names_own_unless_given(config, start, name):
    scheduler, model = scheduler_of(name, config, 10), tiny()
    ours = samplers.trajectory(name, model, start, samplers.grid_for(name, 10), SEED)
    assert difference(ours, theirs(scheduler, model, start), scales(name, scheduler)) <= 1e-5
    assert samplers.SAMPLERS[name].spacing == schedulers.SCHEDULERS[name].spacing


@NAMES
@torch.no_grad()
def test_equal_to_diffusers_with_the_unet_of_a_pipeline(toy_pipe, name):
    words = torch.randn(1, 24, 32, generator=torch.Generator().manual_seed(2))
    start = torch.randn(1, 8, 2, 8, 8, generator=torch.Generator().manual_seed(3))  # [b c f h w]

    def model(x_t, t):
        return toy_pipe.unet(x_t, t, encoder_hidden_states=words).sample

    scheduler = scheduler_of(name, toy_pipe.scheduler.config, 5)
    ours = list(samplers.trajectory(name, model, start, samplers.grid_for(name, 5), SEED))
    others = list(theirs(scheduler, model, start))
    # an untrained network's eps does not shrink x, so values grow, and their rounding with them
    for a, b in zip(ours, others, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * max(1, b.abs().max().item()))


@NAMES
def test_the_true_noise_leads_to_the_true_sample(start, name):
    x_0, eps = start.split(1)

    def model(x_t, t):
        return noise.eps_from_x_0(x_t, x_0, grids.level(t, ABAR).abar)

    *_, end = samplers.sample(name, model, eps, 25)
    torch.testing.assert_close(end, x_0, rtol=0, atol=0.15)  # ddim and pndm end at abar_0, with 3 % of noise left


@NAMES
def test_they_yield_after_every_call_of_the_network(start, name):
    calls = []

    def model(x_t, t):
        calls.append(t)
        return x_t

    for count, x in enumerate(samplers.sample(name, model, start, 6)):
        assert len(calls) == count + 1 and x.shape == start.shape and x.dtype == start.dtype
    assert len(calls) == schedulers.unet_calls(name, 6)


@NAMES
def test_half_precision_stays_half_precision(start, name):
    half = start.bfloat16()
    *_, end = samplers.sample(name, lambda x_t, t: x_t, half, 3)
    assert end.dtype == torch.bfloat16


@pytest.mark.parametrize("name, order", [("ddim", 1), ("heun", 2), ("dpm++", 2), ("dpm++_2s", 2), ("unipc", 3)])
def test_the_order_of_convergence(name, order):
    """Where data is normal with deviation 0.5 the path of x_t has a formula: the error falls as steps^-order."""
    x, in_sigma = torch.ones(1, 1, dtype=torch.float64), samplers.SAMPLERS[name].in_sigma

    def deviation(level):
        return (0.25 * level.abar + level.noise**2) ** 0.5

    def model(x_t, t):
        level = grids.level(t, ABAR)
        return x_t * level.noise / deviation(level) ** 2

    def error(steps):
        grid = grids.to_next(grids.timesteps(steps, "linspace", whole=False), ABAR)
        grid = grid[: steps * 7 // 10]  # the steps that are alike: near the end sigma halves in each
        (first, _), (_, last) = grid[0], grid[-1]
        *_, end = samplers.SAMPLERS[name].sampler(
            samplers.Denoiser(model), x / (first.signal if in_sigma else 1), grid, None
        )
        return abs(float(end) * (last.signal if in_sigma else 1) - deviation(last) / deviation(first))

    assert error(80) / error(160) == pytest.approx(2**order, rel=0.1)


def test_a_grid_goes_from_time_to_time_and_at_last_to_where_no_noise_is_left():
    (first, to), (last, end) = grids.to_next([999, 500], ABAR)
    assert (first.t, to, last.t) == (999, last, 500) and end == grids.Level(0, 1.0)


def test_adams_weights_are_those_of_the_textbook():
    assert samplers.adams(range(4), 4) == pytest.approx([-9 / 24, 37 / 24, -59 / 24, 55 / 24])
    assert samplers.adams([7.0], 5.0) == pytest.approx([-2.0])


def test_adams_weights_integrate_any_cubic():
    nodes, end = [5.0, 3.0, 2.5, 1.0], 0.25
    exact = (end**4 - 1) / 4 - (end**2 - 1) / 2
    assert sum(w * (u**3 - u) for w, u in zip(samplers.adams(nodes, end), nodes, strict=True)) == pytest.approx(exact)


@pytest.mark.parametrize("name, spacing", SPACED)
def test_times_equal_those_of_diffusers(config, name, spacing):
    for steps in (2, 3, 7, 48, 50, 96, 333, 500):
        scheduler = scheduler_of(name, config, steps, spacing)
        starts = [t.t for t, _ in samplers.grid_for(name, steps, spacing)]
        others = scheduler.timesteps.unique().flip(0)
        assert sorted(set(starts), reverse=True) == pytest.approx(others.tolist(), abs=1e-4) or name == "pndm"


@pytest.mark.parametrize("name, spare, whole", [("ddim", 0, True), ("euler", 0, False), ("unipc", 1, True)])
@pytest.mark.parametrize("spacing", grids.SPACINGS)
def test_times_equal_those_of_diffusers_for_any_number_of_steps(config, name, spare, whole, spacing):
    scheduler = spaced(schedulers.make(name, config), spacing)
    for steps in (*range(2, 200), *range(200, 998, 7)):
        scheduler.set_timesteps(steps)
        others = scheduler.timesteps.tolist()
        if others[-1] == -1:  # diffusers takes a step too many at 61, 103, ...: check_steps refuses these
            others = others[:-1]
        assert grids.timesteps(steps, spacing, spare=spare, whole=whole) == pytest.approx(others, abs=1e-4)


def test_a_level_knows_what_follows_from_abar():
    level = grids.level(400, ABAR)
    assert level.signal**2 + level.noise**2 == pytest.approx(1) and level.abar == float(ABAR[400])
    assert level.sigma == pytest.approx(level.noise / level.signal) == pytest.approx(float(noise.sigma(ABAR[400])))
    assert grids.level(-19, ABAR).abar == float(ABAR[0])
    between = grids.level(400.25, ABAR).sigma
    assert between == pytest.approx(0.75 * level.sigma + 0.25 * grids.level(401, ABAR).sigma)


@NAMES
def test_grids_go_down(name):
    grid = samplers.grid_for(name, 20)
    assert all(t.abar < s.abar for t, s in grid)
    if name != "pndm":
        assert all(before[1].abar == after[0].abar for before, after in pairwise(grid))


@pytest.mark.parametrize("name, other", [("ddim", "euler"), ("ddpm", "euler_a")])
def test_two_names_of_diffusers_are_the_same_in_units_of_sigma(config, start, name, other):
    grid, model = grids.to_next(grids.timesteps(6, "trailing"), ABAR), tiny()
    scheduler = scheduler_of(other, config, 6, "trailing")
    ours = samplers.trajectory(name, model, start, grid, SEED)
    scaled = [x * level.signal for x, (_, level) in zip(theirs(scheduler, model, start), grid, strict=True)]
    assert difference(ours, scaled, [1.0] * 6) <= 1e-4


def test_draws_come_from_the_seed_alone(start):
    first, again = samplers.draws(start, SEED), samplers.draws(start, SEED)
    one, two = next(first), next(first)
    torch.manual_seed(0)
    assert torch.equal(next(again), one) and torch.equal(next(again), two) and not torch.equal(one, two)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"name": "dpm"}, "name='dpm' .*ddpm, ddim, pndm"),
        ({"name": "dddim"}, "name='dddim' .*ddpm, ddim"),
        ({"steps": 0}, "steps=0 .* 1 to 1000"),
        ({"steps": 1001}, "steps=1001 "),
        ({"steps": 1}, r"steps=1 do not fit spacing='leading' \(1, ...\): use more, or 'trailing'"),
        ({"steps": 1, "name": "heun"}, r"steps=1 do not fit spacing='linspace' \(0, ...\): use more"),
        ({"steps": 1000}, r"steps=1000 do not fit spacing='leading' \(1000, ...\): use fewer"),
        ({"steps": 1000, "name": "dpm++"}, "steps=1000 do not fit spacing='linspace' .*: use fewer"),
        ({"spacing": "even"}, "spacing='even' .*leading, trailing, linspace"),
    ],
)
def test_bad_input_is_refused_before_the_first_call(start, changes, words):
    asked = {"name": "ddim", "predict": None, "x": start, "steps": 5}
    with pytest.raises(ValueError, match=words):
        samplers.sample(**asked | changes)
