"""schedulers: every name gives its class on the pipeline's own noise schedule, and the old scheduler comes back."""

import diffusers
import pytest
import torch

from t2v_helpers import noise, schedulers

NAMES = pytest.mark.parametrize("name", schedulers.NAMES)


@pytest.fixture(scope="module")
def config(hub_pipe):
    return hub_pipe.scheduler.config


def test_names():
    assert schedulers.NAMES == ("ddim", "dpm++", "lms", "pndm", "euler", "heun", "unipc", "deis", "ddpm")


@NAMES
def test_the_noise_schedule_is_kept(config, name):
    made = schedulers.make(name, config)
    torch.testing.assert_close(made.alphas_cumprod, noise.alphas_cumprod())
    assert made.config.prediction_type == "epsilon" and made.config.num_train_timesteps == 1000


@NAMES
def test_equal_to_what_every_script_does(config, name):
    ours = schedulers.make(name, config)
    theirs = type(ours).from_config(config)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(25)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    assert ours.config == theirs.config


@NAMES
@pytest.mark.parametrize("before", schedulers.NAMES)
def test_it_does_not_matter_what_was_there_before(config, name, before):
    straight = schedulers.make(name, config)
    around = schedulers.make(name, schedulers.make(before, config).config)
    for scheduler in (straight, around):
        scheduler.set_timesteps(10)
    assert torch.equal(straight.timesteps, around.timesteps)
    assert straight.init_noise_sigma == around.init_noise_sigma


@NAMES
@pytest.mark.parametrize("steps", [1, 2, 3, 25, 1000])
def test_unet_calls_are_counted(config, name, steps):
    made = schedulers.make(name, config)
    made.set_timesteps(steps)
    assert schedulers.unet_calls(name, steps) == len(made.timesteps)


@NAMES
def test_from_the_true_noise_every_scheduler_finds_the_true_image(config, name):
    """With a model that always knows the noise, any solver must end at x_0, whatever its equations."""
    made = schedulers.make(name, config)
    made.set_timesteps(25)
    generator = torch.Generator().manual_seed(3)
    x_0, eps = torch.randn(2, 1, 4, 8, 8, generator=generator) * 0.5
    x, sigmas = eps * made.init_noise_sigma, noise.sigma(made.alphas_cumprod)
    for t in made.timesteps:
        x_t = made.scale_model_input(x, t)
        abar = 1 / (1 + torch.lerp(sigmas[int(t)], sigmas[min(int(t) + 1, 999)], float(t) % 1) ** 2)
        x = made.step(noise.eps_from_x_0(x_t, x_0, abar), t, x, **_generator(made, generator)).prev_sample
    torch.testing.assert_close(x, x_0, rtol=0, atol=0.1)


def _generator(scheduler, generator):
    return {"generator": generator} if isinstance(scheduler, schedulers.STOCHASTIC) else {}


@NAMES
def test_stochastic_names_those_that_draw_noise(config, name):
    made = schedulers.make(name, config)
    made.set_timesteps(10)
    x = torch.ones(1, 4, 8, 8)
    ends = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        fresh = schedulers.make(name, config)
        fresh.set_timesteps(10)
        fresh.scale_model_input(x, fresh.timesteps[0])
        ends.append(fresh.step(x, fresh.timesteps[0], x).prev_sample)
    assert torch.equal(*ends) != isinstance(made, schedulers.STOCHASTIC)


def test_swapped_restores_the_very_same_object(toy_pipe):
    before = toy_pipe.scheduler
    with schedulers.swapped(toy_pipe, "lms") as pipe:
        assert pipe is toy_pipe and isinstance(pipe.scheduler, diffusers.LMSDiscreteScheduler)
    assert toy_pipe.scheduler is before


def test_swapped_restores_after_an_error(toy_pipe):
    before = toy_pipe.scheduler
    with pytest.raises(KeyError, match="inside"), schedulers.swapped(toy_pipe, "euler"):
        raise KeyError("inside")
    assert toy_pipe.scheduler is before


def test_an_unknown_name_changes_nothing(toy_pipe):
    before = toy_pipe.scheduler
    with pytest.raises(ValueError, match="unknown"), schedulers.swapped(toy_pipe, "none"):
        pass
    assert toy_pipe.scheduler is before


@pytest.mark.parametrize("name, meant", [("dpm", "ddpm"), ("DDIM", "ddim"), ("uler", "euler"), ("dpm+", "dpm\\+\\+")])
def test_a_near_name_is_suggested(config, name, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'.*use one of ddim, dpm"):
        schedulers.make(name, config)


@pytest.mark.parametrize("name", ["", "flow matching", None, 3])
def test_a_far_name_is_refused(name):
    with pytest.raises(ValueError, match="scheduler=.* is unknown: use one of"):
        schedulers.unet_calls(name, 10)
