"""sampler.js: DDIM and DPM-Solver++ 2M, equal to the schedulers of diffusers."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from t2v_helpers.diffusion import noise, schedulers

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
          "steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False}  # fmt: skip
ALL = """(async () => {
  const steps = [], predict = (x, t) => x.map((value) => Math.sin(3 * value + t / 300));
  for await (const step of m.sample(data.name, data.steps, data.known, Float32Array.from(data.x), predict)) {
    steps.push([step.t, ...step.x]);
  }
  return steps;
})()"""


KNOWN = {"abar": noise.alphas_cumprod().tolist(), "prediction": "epsilon", "spacing": "leading", "toOne": False}


def compare(js, name, scheduler, steps, **known):
    """Each step in JavaScript is the scheduler's."""
    scheduler.set_timesteps(steps)
    start = torch.randn(32, generator=torch.Generator().manual_seed(0))
    x, expected = start, []
    for t in scheduler.timesteps:
        x = scheduler.step(torch.sin(3 * x + t / 300), t, x).prev_sample
        expected.append([float(t), *x.tolist()])
    found = js("sampler.js", ALL, {"name": name, "steps": steps, "x": start.tolist(), "known": KNOWN | known})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name, steps", [("dpm++", 1), ("dpm++", 2), ("dpm++", 6), ("dpm++", 20), ("dpm++", 50),
                                         ("ddim", 2), ("ddim", 6), ("ddim", 7), ("ddim", 50)])  # fmt: skip
def test_each_step_is_that_of_diffusers(js, name, steps, prediction):
    scheduler = schedulers.make(name, CONFIG | {"prediction_type": prediction})
    compare(js, name, scheduler, steps, prediction=prediction)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_each_step_of_a_student_is_that_of_diffusers(js, steps):
    own = {"timestep_spacing": "trailing", "set_alpha_to_one": True}
    compare(js, "ddim", DDIMScheduler(**CONFIG | own), steps, spacing="trailing", toOne=True)


@pytest.mark.parametrize(
    "steps, spacing, refused", [(1, "leading", True), (2, "leading", False), (1, "trailing", False)]
)
def test_too_few_steps_are_refused(js, steps, spacing, refused):
    said = js("sampler.js", "m.tooFew('ddim', data.steps, data)", KNOWN | {"steps": steps, "spacing": spacing})
    assert ("steps = 1" in said) == refused
