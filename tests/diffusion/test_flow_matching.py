"""Flow matching: held against diffusers at every step, and against the samplers of a noise schedule."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import nn

from t2v_helpers.diffusion import flow_matching as flow
from t2v_helpers.diffusion import grids, noise, samplers

ABAR = noise.alphas_cumprod()


@pytest.fixture
def start():
    return torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))  # [b c f h w]


@pytest.fixture
def model():
    """The exact velocity for standard normal data, (2 sigma - 1) x_t / (sigma^2 + (1 - sigma)^2), and a bend in it."""
    conv = nn.Conv3d(4, 4, 3, padding=1, bias=False).requires_grad_(False)
    conv.weight.copy_(torch.randn(conv.weight.shape, generator=torch.Generator().manual_seed(1)) * 0.1)

    def predict(x_t, t):
        sigma = t / 1000
        return (2 * sigma - 1) / (sigma**2 + (1 - sigma) ** 2) * x_t + 0.1 * conv(x_t).tanh()

    return predict


@pytest.mark.parametrize("shift", [1.0, 3.0, 0.5])
@pytest.mark.parametrize("steps", [1, 2, 5, 25])
def test_equal_to_diffusers_at_every_step(start, model, steps, shift):
    there, x = FlowMatchEulerDiscreteScheduler(shift=shift), start
    there.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))  # as its pipelines do
    for t, ours in zip(there.timesteps, flow.sample(model, start, steps, shift), strict=True):
        x = there.step(model(x, t), t, x).prev_sample
        torch.testing.assert_close(ours, x, atol=1e-5, rtol=1e-5)


def test_the_mixture_is_diffusers_own(start):
    there, eps = FlowMatchEulerDiscreteScheduler(), torch.randn_like(start)
    for t in there.timesteps[[0, 300, 999]]:
        sigma = float(t) / 1000
        torch.testing.assert_close(flow.mix(start, eps, sigma), there.scale_noise(start, t[None].expand(2), eps))


def test_the_velocity_is_how_the_mixture_changes(start):
    eps, sigma = torch.randn_like(start), torch.tensor([0.2, 0.9])
    x_t, v = flow.mix(start, eps, sigma), flow.velocity(start, eps)
    moved = (flow.mix(start, eps, sigma + 0.01) - x_t) / 0.01
    torch.testing.assert_close(moved, v, atol=1e-3, rtol=1e-3)


def test_with_the_true_velocity_one_step_is_enough(start):
    eps = torch.randn_like(start)
    (found,) = flow.sample(lambda x, t: flow.velocity(start, eps), eps, 1)
    torch.testing.assert_close(found, start)


def test_a_noise_schedule_makes_the_same_mixtures(start):
    eps = torch.randn_like(start)
    for t in (0, 500, 999):
        x_t = noise.add_noise(start, eps, ABAR[t]) / flow.scale(ABAR[t])
        torch.testing.assert_close(x_t, flow.mix(start, eps, flow.share_of_noise(ABAR[t])))
    assert float(flow.share_of_noise(0.5)) == 0.5 and float(flow.scale(1.0)) == 1


def test_a_step_of_ddim_is_eulers_between_the_same_levels(start, model):
    for t, s in ((900, 400), (400, 20)):
        grid = [(grids.level(t, ABAR), grids.level(s, ABAR))]
        (by_ddim,) = samplers.ddim(samplers.Denoiser(flow.as_noise(model)), start, grid)
        here, there = (flow.share_of_noise(level.abar) for level in grid[0])
        x = start / float(flow.scale(grid[0][0].abar))
        (by_euler,) = flow._sample(model, x, [float(here), float(there)])
        torch.testing.assert_close(by_ddim / float(flow.scale(grid[0][1].abar)), by_euler, atol=1e-5, rtol=1e-5)


def test_a_shift_puts_more_of_the_steps_at_the_noisy_end():
    assert flow.sigmas(4) == [1, 0.75, 0.5, 0.25, 0]
    assert flow.sigmas(4, shift=3) == pytest.approx([1, 0.9, 0.75, 0.5, 0])


@pytest.mark.parametrize("given, words", [
    ({"steps": 0}, "steps=0"), ({"steps": 1001}, "steps=1001"), ({"steps": 2.0}, "steps=2.0"),
    ({"steps": 2, "shift": 0}, "shift=0"), ({"steps": 2, "shift": float("nan")}, "shift=nan"),
])  # fmt: skip
def test_bad_steps_are_refused_before_the_first_call(start, given, words):
    with pytest.raises(ValueError, match=words):
        flow.sample(None, start, **given)


@pytest.mark.parametrize("sigma, words", [
    (1.5, "sigma=1.5"), (-0.1, "sigma=-0.1"), (torch.tensor([0.1, float("nan")]), "nan"),
    (torch.rand(3), r"sigma has shape \[3\].*2 samples"), (torch.rand(2, 1), r"sigma has shape \[2, 1\]"),
])  # fmt: skip
def test_a_share_of_noise_that_cannot_be_is_refused(start, sigma, words):
    with pytest.raises(ValueError, match=words):
        flow.mix(start, start, sigma)
