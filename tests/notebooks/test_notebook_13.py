"""Notebook 13 teaches as the package teaches: its functions are taken out and run beside the package's."""

import copy
import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from notebook_functions import functions, source
from torch import nn

from t2v_helpers import cartoon
from t2v_helpers.core import seeding
from t2v_helpers.diffusion import noise, samplers
from t2v_helpers.inside import unet
from t2v_helpers.studies import from_scratch
from t2v_helpers.training import data, student

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "13_few_steps.ipynb"
ABAR = noise.alphas_cumprod()
ASKED = from_scratch.CORNER[:2]
TOY = student.StudentSettings(steps=2, batch=4, frames=3, steps_of_teacher=8)


@pytest.fixture
def here(toy_pipe) -> dict:
    """The notebook's functions, for a toy teacher and random latents."""
    net = unet.from_diffusers(copy.deepcopy(toy_pipe.unet)).requires_grad_(False)
    empty = data.tokens(toy_pipe.tokenizer, [""])
    captions = [cartoon.caption(labels) for labels in from_scratch.CORNER[:6]]
    dice = seeding.generator(1)
    names = {name: getattr(noise, name) for name in ("add_noise", "eps_from_x_0", "snr", "x_0_from_eps")}
    names |= {"x_0_from_step": noise.x_0_from_step, "ABAR": ABAR, "PLACES": torch.linspace(-6, 6, 2401)}
    names |= {"torch": torch, "nn": nn, "np": np, "math": math, "copy": copy, "pairwise": pairwise, "data": data}
    names |= {"seeding": seeding, "samplers": samplers, "cartoon": cartoon, "trailing": student.trailing}
    names |= {"pipe": toy_pipe, "net": net, "x_0s": torch.randn(6, 8, 3, 4, 4, generator=dice), "ASKED": ASKED}
    names |= {"teacher": student.Teacher(net, toy_pipe.text_encoder, empty, ABAR, guidance=4.0)}
    names |= {"clips": SimpleNamespace(words=data.tokens(toy_pipe.tokenizer, captions))}
    names |= {"START": seeding.noise(range(2), (8, 3, 4, 4)), "W": 4.0, "ODDS": 4.0}
    exec(source(functions(NOTEBOOK)), names)  # the repository's own notebook
    return names


@pytest.fixture
def task(here, toy_pipe) -> student.HalvingTask:
    clips = data.Clips(here["x_0s"].half(), [], 1.0)
    return student.HalvingTask(TOY, here["teacher"], clips, toy_pipe.tokenizer)


def test_its_loss_is_the_packages(here, task):
    loss = next(here["distil"](copy.deepcopy(here["net"]).requires_grad_(True), 1))
    dice = seeding.generator(0)
    i = torch.randint(6, (4,), generator=dice)
    eps = torch.randn(here["x_0s"][i].shape, generator=dice)
    batch = here["x_0s"][i], eps, 2 * torch.arange(4), here["clips"].words[i]
    with torch.no_grad():
        assert loss == pytest.approx(task.loss(batch)[0].item(), rel=1e-4)


def test_its_student_learns(here):
    net = copy.deepcopy(here["net"]).requires_grad_(True)
    first = [next(here["distil"](copy.deepcopy(net), 1))]
    list(here["distil"](net, 24, lr=3e-4))
    first.append(next(here["distil"](copy.deepcopy(net), 1)))  # the loss of the same batch, before and after
    assert first[1] < 0.9 * first[0]


def test_its_few_steps_are_those_of_the_students_scheduler(here):
    eps_of, x = here["plainly"](here["net"]), here["START"]
    scheduler = DDIMScheduler.from_config(student.HalvingTask.schedule)
    scheduler.set_timesteps(4)
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(eps_of(x, t.repeat(2)), t, x).prev_sample
    torch.testing.assert_close(here["ddim"](eps_of, 4), x, atol=1e-3, rtol=1e-3)


def test_its_guidance_is_the_packages(here):
    x, t = here["START"], torch.tensor([700, 700])
    text, empty = here["read"](ASKED)
    assert torch.equal(here["guidedly"]()(x, t), here["teacher"].eps(x, t, text, empty))
    assert here["dpm"](here["guidedly"](), 2).isfinite().all()


# --- the toy


@pytest.mark.parametrize("odds", [1.0, 4.0])
def test_the_best_guess_is_the_mean_by_bayes_rule(here, odds):
    x_t, t = torch.linspace(-2, 2, 9), 499
    likely = {end: torch.exp(-((x_t - ABAR[t].sqrt() * end) ** 2) / (2 * (1 - ABAR[t]))) for end in (-1, 1)}
    mean = (odds * likely[1] - likely[-1]) / (odds * likely[1] + likely[-1])
    torch.testing.assert_close(here["best_guess"](x_t, t, odds), mean, atol=1e-4, rtol=1e-4)


def test_a_student_of_one_step_ends_where_its_teacher_of_sixteen_does(here):
    times = student.trailing(16).tolist()
    aims = {t: here["best_guess"](here["PLACES"], t) for t in times}
    while len(times) > 1:
        aims, times = here["halved"](aims, times), times[::2]
    x = torch.linspace(-2, 2, 9)
    *_, wanted = here["walk"](x, here["best_guess"], 16)
    (found,) = here["walk"](x, here["aimed"](aims), 1)
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)
