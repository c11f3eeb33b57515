"""The checks of notebook 02: each mistake gets its own word, and the references are those of the papers."""

import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from t2v_helpers import checks
from t2v_helpers.checks import making
from t2v_helpers.diffusion import noise


def pair(seed=0):
    return torch.randn(2, 2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(seed))  # two of [b c f h w]


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_the_reference_step_is_that_of_diffusers(eta):
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    scheduler.set_timesteps(25)
    (x_t, eps), (z, _) = pair(0), pair(1)
    abar = scheduler.alphas_cumprod
    wanted = scheduler.step(eps, 600, x_t, eta=eta, variance_noise=z if eta else None).prev_sample
    torch.testing.assert_close(making.ddim_step_eta(x_t, eps, abar[600], abar[560], eta, z), wanted)


@pytest.mark.parametrize("phi", [0.0, 0.7, 1.0])
def test_the_reference_rescaling_is_that_of_diffusers(phi):
    eps_cond, eps_guided = pair()
    wanted = rescale_noise_cfg(eps_guided, eps_cond, guidance_rescale=phi)
    torch.testing.assert_close(making.rescaled(eps_cond, eps_guided, phi), wanted)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (None, "gave back nothing"),
        ("half", "an int, is wanted"),
        (True, "an int, is wanted"),
        (torch.arange(3), "an int, is wanted"),
        (500, "not half of the signal"),
        (1000, "no timestep 1000"),
        (-1, "no timestep -1"),
        (10, "abar 0.9"),
    ],
)
def test_check_02_1_on_constants(answer, word):
    verdict = checks.check_02_1(lambda abar: answer)
    assert not verdict and word in verdict.word


def test_check_02_1_takes_a_tensor_of_one_number_but_no_remembered_number():
    assert checks.check_02_1(lambda abar: (abar < 0.5).nonzero()[0])
    published = int((noise.alphas_cumprod() < 0.5).nonzero()[0])
    assert not checks.check_02_1(lambda abar: published)


def test_check_02_2_names_what_is_missing():
    step = making.ddim_step_eta
    ignores_eta = checks.check_02_2(lambda x, e, a, p, eta, z: step(x, e, a, p, 0.0, z))
    no_noise = checks.check_02_2(lambda x, e, a, p, eta, z: step(x, e, a, p, eta, 0 * z))
    other = checks.check_02_2(lambda x, e, a, p, eta, z: x)
    assert "no effect yet" in ignores_eta.word and "is not added" in no_noise.word and "at eta = 0" in other.word
    assert not ignores_eta and not no_noise and not other


def test_check_02_3_names_what_is_missing():
    phi_ignored = checks.check_02_3(lambda cond, guided, phi: making.rescaled(cond, guided, 1.0))
    other = checks.check_02_3(lambda cond, guided, phi: cond)
    assert not phi_ignored and "no effect" in phi_ignored.word
    assert not other and "phi = 1" in other.word
