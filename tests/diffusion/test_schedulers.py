"""schedulers: every name gives its class on the pipeline's own noise schedule, and the old scheduler comes back."""

import inspect
import subprocess
import sys

import diffusers
import numpy as np
import pytest
import torch

from t2v_helpers.diffusion import noise, schedulers
from t2v_helpers.model import swapping

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array:DeprecationWarning"
)  # diffusers calls numpy as one did before 2.0
NAMES = pytest.mark.parametrize("name", schedulers.NAMES)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.fixture(scope="module")
def config(hub_pipe):
    """Of a model that every name can take, since it was also distilled."""
    return {**hub_pipe.scheduler.config, "original_inference_steps": 1000}


def of_its_class(scheduler) -> dict:
    """The part of the config that the class reads."""
    return {key: scheduler.config[key] for key in inspect.signature(type(scheduler)).parameters}


def test_a_student_is_told_by_its_scheduler(config):
    assert schedulers.of_student(schedulers.make("lcm", config)) == "lcm"
    trailing = diffusers.DDIMScheduler.from_config(config, timestep_spacing="trailing")
    assert schedulers.of_student(trailing) == "ddim_trailing"
    others = {"timestep_spacing": "leading"}, {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}
    assert [schedulers.of_student(diffusers.DDIMScheduler.from_config(config, **one)) for one in others] == ["", ""]
    other = diffusers.DPMSolverMultistepScheduler.from_config(config, timestep_spacing="trailing")
    assert schedulers.of_student(other) == ""


@NAMES
def test_the_noise_schedule_is_kept(config, name):
    made = schedulers.make(name, config)
    torch.testing.assert_close(made.alphas_cumprod, noise.alphas_cumprod())
    assert made.config.prediction_type == "epsilon" and made.config.num_train_timesteps == 1000


@NAMES
def test_the_kind_of_prediction_is_kept(config, name):
    assert schedulers.make(name, {**config, "prediction_type": "v_prediction"}).config.prediction_type == "v_prediction"


@NAMES
def test_equal_to_what_every_script_does(config, name):
    ours = schedulers.make(name, config)
    sde = {"algorithm_type": "sde-dpmsolver++"} if name.endswith("_sde") else {}
    single = {"lower_order_final": True} if name.startswith("dpm++_2s") else {}
    spaced = {"timestep_spacing": "trailing"} if name in ("ddim_trailing", "lcm") else {}
    theirs = type(ours).from_config(config, **sde, **single, **spaced)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(25)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    assert of_its_class(ours) == of_its_class(theirs)


@NAMES
@pytest.mark.parametrize("before", schedulers.NAMES)
def test_it_does_not_matter_what_was_there_before(config, name, before):
    straight = schedulers.make(name, config)
    around = schedulers.make(name, schedulers.make(before, config).config)
    for scheduler in (straight, around):
        scheduler.set_timesteps(10)
    assert torch.equal(straight.timesteps, around.timesteps)
    assert of_its_class(straight) == of_its_class(around)


def test_what_the_class_before_had_by_default_is_no_part_of_the_model():
    plain = diffusers.DDPMScheduler(**BETAS)
    assert plain.config.clip_sample is True  # its own default
    assert schedulers.make("heun", plain.config).config.clip_sample is False


@NAMES
def test_spacing_is_the_names_own(config, name):
    spaced = diffusers.DDIMScheduler.from_config(config, timestep_spacing="trailing").config
    own = schedulers.SCHEDULERS[name].spacing
    assert schedulers.make(name, spaced).config.get("timestep_spacing", own) == own


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
        x = made.step(noise.eps_from_x_0(x_t, x_0, abar), t, x, **_generator(name, generator)).prev_sample
    torch.testing.assert_close(x, x_0, rtol=0, atol=0.1)


def _generator(name, generator):
    return {"generator": generator} if name in schedulers.STOCHASTIC else {}


@NAMES
def test_stochastic_names_those_that_draw_noise(config, name):
    ends = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        made, x = schedulers.make(name, config), torch.ones(1, 4, 8, 8)
        made.set_timesteps(10)
        for t in made.timesteps:
            x = made.step(made.scale_model_input(x, t) / 2, t, x).prev_sample
        ends.append(x)
    assert torch.equal(*ends) != (name in schedulers.STOCHASTIC)


@pytest.mark.parametrize("name", schedulers.STOCHASTIC)
def test_a_stochastic_one_draws_from_the_generator_it_is_given(config, name):
    ends = []
    for seed, elsewhere in ((0, 0), (0, 1), (1, 1)):
        torch.manual_seed(elsewhere)
        made, x, generator = schedulers.make(name, config), torch.ones(1, 4, 8, 8), torch.Generator().manual_seed(seed)
        made.set_timesteps(5)
        for t in made.timesteps:
            x = made.step(made.scale_model_input(x, t) / 2, t, x, generator=generator).prev_sample
        ends.append(x)
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[1], ends[2])


def test_swapped_restores_the_very_same_object(toy_pipe):
    before = toy_pipe.scheduler
    with swapping.swapped_scheduler(toy_pipe, "lms") as pipe:
        assert pipe is toy_pipe and isinstance(pipe.scheduler, diffusers.LMSDiscreteScheduler)
    assert toy_pipe.scheduler is before


def test_swapped_restores_after_an_error(toy_pipe):
    before = toy_pipe.scheduler
    with pytest.raises(KeyError, match="inside"), swapping.swapped_scheduler(toy_pipe, "euler"):
        raise KeyError("inside")
    assert toy_pipe.scheduler is before


def test_an_unknown_name_changes_nothing(toy_pipe):
    before = toy_pipe.scheduler
    with pytest.raises(ValueError, match="unknown"), swapping.swapped_scheduler(toy_pipe, "none"):
        pass
    assert toy_pipe.scheduler is before


@pytest.mark.parametrize(
    "name, meant", [("dpm", "ddpm"), ("DDIM", "ddim"), ("uler", "euler"), ("dpm+", "dpm\\+\\+"), ("dpmpp", "dpm\\+\\+")]
)
def test_a_near_name_is_suggested(config, name, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'.*ddim, "):
        schedulers.make(name, config)


@pytest.mark.parametrize("name", ["", "flow matching", None, 3])
def test_a_far_name_is_refused(name):
    with pytest.raises(ValueError, match="scheduler=.* is unknown"):
        schedulers.unet_calls(name, 10)


@pytest.mark.parametrize(
    "name, meant", [("DPMSolver", "dpm\\+\\+"), ("EulerAncestral", "euler_a"), ("PNDMScheduler", "pndm")]
)
def test_the_name_of_a_class_leads_to_ours(name, meant):
    with pytest.raises(ValueError, match=f"is unknown: did you mean '{meant}'"):
        schedulers.check_name(name)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("edm_euler", "as EDM does"),
        ("EDMDPMSolverMultistepScheduler", "as EDM does"),
        ("dpm_solver_sde", "needs the package torchsde; dpm\\+\\+_sde"),
        ("flow_match", "flow matching"),
        ("FlowMatchHeunDiscreteScheduler", "flow matching"),
        ("tcd", "distilled"),
        ("ipndm", "noise schedule of its own"),
        ("DDIMInverse", "from a video to its noise"),
        ("repaint", "a hole in a given image"),
        ("ddim_parallel", "it is ddim"),
    ],
)
def test_what_does_not_belong_is_refused_with_its_reason(config, name, reason):
    with pytest.raises(ValueError, match=f"scheduler='{name}' does not run with this pipeline: .*{reason}"):
        schedulers.make(name, config)


def test_a_scheduler_for_students_is_refused_by_others(hub_pipe):
    for refused in (schedulers.make, lambda name, config: schedulers.check_steps(name, 4, config)):
        with pytest.raises(ValueError, match="'lcm' does not run with this pipeline: .*distilled.*; use ddim, "):
            refused("lcm", hub_pipe.scheduler.config)


def test_every_other_scheduler_of_diffusers_is_refused(config):
    ours = {type(schedulers.make(name, config)).__name__ for name in schedulers.NAMES}
    others = {cls for cls in dir(diffusers) if cls.endswith("Scheduler")} - ours
    assert len(others) > 10
    for name in others:
        with pytest.raises(ValueError, match="does not run with this pipeline"):
            schedulers.check_name(name)


@pytest.mark.parametrize("name", ["EDMEulerScheduler", "IPNDMScheduler", "DDIMInverseScheduler"])
def test_those_that_run_but_are_refused_end_elsewhere(config, name):
    """The true noise at every step leads any scheduler that belongs here to the true image, and these nowhere near."""
    made, sigmas = getattr(diffusers, name).from_config(config), noise.sigma(noise.alphas_cumprod())
    made.set_timesteps(25)
    x_0, eps = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(3)) * 0.5
    x = eps * float(made.init_noise_sigma)
    for t in made.timesteps:
        x_t, abar = made.scale_model_input(x, t), 1 / (1 + sigmas[min(max(int(t), 0), 999)] ** 2)
        x = made.step(noise.eps_from_x_0(x_t, x_0, abar), t, x).prev_sample
    assert (x - x_0).abs().max() > 1


def test_the_schedulers_of_cogvideox_leave_the_noise_schedule():
    moved = diffusers.CogVideoXDDIMScheduler(**BETAS).alphas_cumprod.float()
    assert (moved - noise.alphas_cumprod()).abs().max() > 0.1


@NAMES
@pytest.mark.parametrize("steps", [2, 3, 10, 250])
def test_steps_that_are_allowed_run(config, name, steps):
    assert schedulers.check_steps(name, np.int64(steps), config) == steps
    made, x = schedulers.make(name, config), torch.ones(1, 1, 2, 2)
    made.set_timesteps(steps)
    for t in made.timesteps:
        x = made.step(made.scale_model_input(x, t) / 2, t, x).prev_sample
    assert x.isfinite().all()


@pytest.mark.parametrize(
    "name, steps, words",
    [
        ("ddim", 0, "steps=0 .* 1 to 1000"),
        ("dpm++", 1001, "steps=1001 .* to 1000"),
        ("dpm++", 2.5, "steps=2.5 "),
        ("ddim", 1, "steps=1 of ddim with spacing='leading' start at time 1, where little noise is left"),
        ("heun", 1, "steps=1 of heun with spacing='linspace' start at time 0, .*: use more"),
        ("ddim", 1000, "go from time 1000 to 1, outside 0 to 999: use fewer"),
        ("ddim_trailing", 61, "go from time 999 to -1, outside 0 to 999"),
        ("dpm++", 1000, "steps=1000 of dpm.* some fall on the same time: use fewer"),
        ("lcm", 1001, "steps=1001 .* 1 to 1000"),
        ("dmp", 10, "scheduler='dmp' is unknown"),
    ],
)
def test_steps_that_cannot_be_taken(config, name, steps, words):
    with pytest.raises(ValueError, match=words):
        schedulers.check_steps(name, steps, config)


def test_steps_are_held_against_the_models_own_training_timesteps(config):
    with pytest.raises(ValueError, match="steps=101 .* to 100"):
        schedulers.check_steps("dpm++", 101, {**config, "num_train_timesteps": 100})


@pytest.mark.parametrize("name, calls", {"ddim": 50, "pndm": 51, "heun": 99, "kdpm2": 99, "kdpm2_a": 99}.items())
def test_what_fifty_steps_cost(name, calls):
    assert schedulers.unet_calls(name, 50) == calls


def test_only_lms_needs_scipy():
    code = """
import sys; sys.modules["scipy"] = None
from t2v_helpers.diffusion import schedulers
for name in schedulers.able({}):
    try: schedulers.make(name, {}).set_timesteps(3)
    except ImportError as error: print(name, "scipy" in str(error))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["lms", "True"]


@pytest.mark.parametrize("config", [None, "ddim"])
def test_what_is_no_config_is_refused(config):
    with pytest.raises(ValueError, match="config is .*pipe.scheduler.config"):
        schedulers.make("ddim", config)


@pytest.mark.parametrize("steps", [0, -3, 2.5, "4", 1001])
def test_calls_of_no_steps_are_refused(steps):
    with pytest.raises(ValueError, match="steps=.* from 1 to 1000"):
        schedulers.unet_calls("ddim", steps)
