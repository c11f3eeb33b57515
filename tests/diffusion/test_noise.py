"""noise: each formula is held against diffusers' own code, elementwise."""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from diffusers.training_utils import compute_snr

from t2v_helpers.diffusion import noise

PUBLISHED = {"beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000, "beta_schedule": "scaled_linear"}
DDIM = DDIMScheduler(**PUBLISHED)
ABAR = noise.alphas_cumprod()
T = torch.tensor([0, 400, 999])


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 4, 2, 8, 8, generator=generator) for _ in range(2)]  # x_0, eps [b c f h w]


def test_the_schedule_equals_that_of_diffusers():
    torch.testing.assert_close(ABAR, DDIM.alphas_cumprod)


def test_the_schedule_falls_from_nearly_one():
    assert ABAR.shape == (1000,) and ABAR.dtype == torch.float32
    assert ABAR[0] == pytest.approx(1 - 0.00085) and all(a > b > 0 for a, b in pairwise(ABAR.tolist()))


def test_add_noise_equals_that_of_diffusers(pair):
    x_0, eps = pair
    torch.testing.assert_close(noise.add_noise(x_0, eps, ABAR[T]), DDIM.add_noise(x_0, eps, T))


def test_x_0_equals_what_the_step_of_diffusers_sees(pair):
    x_t, predicted = pair
    scheduler = DDIMScheduler(**PUBLISHED, clip_sample=False)
    scheduler.set_timesteps(50)
    t = scheduler.timesteps[20]
    theirs = scheduler.step(predicted, t, x_t).pred_original_sample
    torch.testing.assert_close(noise.x_0_from_eps(x_t, predicted, ABAR[t]), theirs)


def test_sigma_equals_that_of_diffusers():
    scheduler = EulerDiscreteScheduler(**PUBLISHED, timestep_spacing="linspace")
    scheduler.set_timesteps(1000)
    ours = noise.sigma(ABAR).flip(0)
    torch.testing.assert_close(ours, scheduler.sigmas[:-1])


def test_snr_equals_that_of_diffusers():
    torch.testing.assert_close(noise.snr(ABAR[T]), compute_snr(DDIM, T))
    torch.testing.assert_close(noise.snr(ABAR), noise.sigma(ABAR) ** -2)


def test_half_log_snr_equals_that_of_diffusers():
    torch.testing.assert_close(noise.half_log_snr(ABAR), DPMSolverMultistepScheduler(**PUBLISHED).lambda_t)
    torch.testing.assert_close(noise.half_log_snr(ABAR), -noise.sigma(ABAR).log())
    assert noise.half_log_snr(1.0) == float("inf")


def test_a_plain_number_keeps_its_digits():
    assert float(noise.sigma(1 / (1 + 1e-8))) == pytest.approx(1e-4, rel=1e-7)
    assert float(noise.snr(1 / (1 + 1e-8))) == pytest.approx(1e8, rel=1e-7)


def test_eps_follows_from_diffusers_v(pair):
    x_0, eps = pair
    x_t, v = noise.add_noise(x_0, eps, ABAR[T]), DDIM.get_velocity(x_0, eps, T)
    torch.testing.assert_close(noise.eps_from_v(x_t, v, ABAR[T]), eps, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("abar_t", [0.3, torch.tensor(0.3), torch.tensor([0.999, 0.5, 0.01])])
def test_x_0_and_eps_follow_from_each_other(pair, abar_t):
    x_0, eps = pair
    x_t = noise.add_noise(x_0, eps, abar_t)
    near = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(noise.x_0_from_eps(x_t, eps, abar_t), x_0, **near)
    torch.testing.assert_close(noise.eps_from_x_0(x_t, x_0, abar_t), eps, **near)


def test_each_sample_has_its_own_level(pair):
    x_0, eps = pair
    together = noise.add_noise(x_0, eps, ABAR[T])
    for i, t in enumerate(T):
        torch.testing.assert_close(together[i : i + 1], noise.add_noise(x_0[i : i + 1], eps[i : i + 1], ABAR[t]))


def test_half_precision_stays_half_precision(pair):
    x_0, eps = (x.half() for x in pair)
    assert noise.add_noise(x_0, eps, ABAR[T]).dtype == torch.float16


def test_variance_is_kept_when_the_sample_is_normal():
    x_0, eps = torch.randn(2, 1, 200_000, generator=torch.Generator().manual_seed(1))
    assert noise.add_noise(x_0, eps, 0.4).var().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("abar_t", [torch.tensor([0.1, 0.2]), torch.full((3, 1), 0.1)])
def test_levels_that_do_not_fit_the_batch(pair, abar_t):
    with pytest.raises(ValueError, match="give one, or one for each of 3 samples"):
        noise.add_noise(*pair, abar_t)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"beta_start": 0}, "beta_start=0, beta_end=0.012: 0 < beta_start <= beta_end < 1 is needed"),
        ({"beta_end": 1.5}, "beta_end=1.5: 0 < beta_start"),
        ({"beta_start": 0.5, "beta_end": 0.1}, "beta_start=0.5, beta_end=0.1"),
    ],
)
def test_bad_schedules(values, words):
    with pytest.raises(ValueError, match=words):
        noise.alphas_cumprod(**values)


@pytest.mark.parametrize("abar_s", [0.6, 1.0])
def test_the_aim_of_one_step_leads_where_it_is_told(abar_s):
    x_t, x_s = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    x_0 = noise.x_0_from_step(x_t, x_s, 0.1, abar_s)
    arrived = noise.add_noise(x_0, noise.eps_from_x_0(x_t, x_0, 0.1), abar_s)
    torch.testing.assert_close(arrived, x_s, atol=1e-5, rtol=1e-5)
