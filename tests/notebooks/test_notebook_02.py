"""Notebook 02 computes what the package, diffusers and transformers compute: its functions are taken out and run."""

import json
import math
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from notebook_functions import functions, source

from t2v_helpers.core import layout, seeding
from t2v_helpers.diffusion import noise

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_basic_generation.ipynb"


def namespace(pipe=None) -> dict:
    """The notebook's functions, and the few names that they look up."""
    names = {"json": json, "layout": layout, "math": math, "torch": torch, "pipe": pipe, "device": "cpu"}
    exec(source(functions(NOTEBOOK)), names)  # the repository's own notebook
    names["abar"] = names["alphas_cumprod"]()
    if pipe is not None:
        names["table"] = json.loads(pipe.tokenizer.backend_tokenizer.to_str())["model"]
        names["ranks"] = {tuple(pair): rank for rank, pair in enumerate(names["table"]["merges"])}
    return names


HERE = namespace()


class Toy(torch.nn.Sequential):
    """A network for numbers: x_t [b] and t [b] -> [b]."""

    def forward(self, x_t, t):
        return super().forward(torch.stack([x_t, t / 1000], -1))[:, 0]


def pair(seed: int = 0):
    return torch.randn(2, 2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(seed))  # two of [b c f h w]


def test_the_schedule_and_the_conversions_are_those_of_the_package():
    x, eps = pair()
    abar = HERE["alphas_cumprod"]()
    torch.testing.assert_close(abar, noise.alphas_cumprod())
    for t in (0, 300, 999):
        torch.testing.assert_close(HERE["add_noise"](x, eps, abar[t]), noise.add_noise(x, eps, abar[t]))
        torch.testing.assert_close(HERE["x_0_from_eps"](x, eps, abar[t]), noise.x_0_from_eps(x, eps, abar[t]))


@pytest.mark.parametrize("steps", [1, 3, 10, 25, 50])
def test_every_ddim_step_is_that_of_diffusers(steps):
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                              set_alpha_to_one=False, steps_offset=1)  # fmt: skip
    scheduler.set_timesteps(steps)
    x_t, eps = pair()
    abar = HERE["alphas_cumprod"]()
    assert HERE["ddim_timesteps"](steps).tolist() == scheduler.timesteps.tolist()
    for t in scheduler.timesteps:
        mine = HERE["ddim_step"](x_t, eps, abar[t], abar[max(t - 1000 // steps, 0)])
        torch.testing.assert_close(mine, scheduler.step(eps, t, x_t).prev_sample)


def test_the_exact_mean_of_the_toy_is_the_one_known_in_closed_form():
    x_t, abar_t = torch.linspace(-3, 3, 25, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)
    x_0 = torch.tanh(abar_t.sqrt() * x_t / (1 - abar_t))
    torch.testing.assert_close(HERE["exact_mean"](x_t, abar_t), x_0)
    torch.testing.assert_close(HERE["best_guess"](x_t, abar_t), noise.eps_from_x_0(x_t, x_0, abar_t))


def test_no_constant_added_to_the_exact_mean_lowers_the_loss_of_the_toy():
    drawn = torch.Generator().manual_seed(0)
    x_0 = torch.randint(2, (100_000,), generator=drawn) * 2.0 - 1
    eps, abar_t = torch.randn(len(x_0), generator=drawn, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    x_t = noise.add_noise(x_0, eps, abar_t)
    best = HERE["best_guess"](x_t, abar_t)
    losses = [(eps - guess).square().mean() for guess in (best, best + 0.1, best - 0.1, 1.1 * best, 0.9 * best)]
    assert min(losses) == losses[0]


def test_the_toys_training_lowers_the_loss():
    there = namespace() | {"schedule": noise.alphas_cumprod().double()}
    exec(source(functions(NOTEBOOK)), there)  # the repository's own notebook
    torch.manual_seed(0)
    toy = Toy(torch.nn.Linear(2, 16), torch.nn.SiLU(), torch.nn.Linear(16, 1)).double()
    with torch.no_grad():  # as in the notebook
        losses = list(there["train"](toy, steps=200))
    assert sum(losses[-20:]) < 0.7 * sum(losses[:20])


@pytest.mark.parametrize("scale", ["toy_pipe", "hub_pipe"])
@pytest.mark.parametrize("sentence", ["", "a robot is dancing on the moon", "Zebra walking LEFT"])
@torch.no_grad()
def test_tokens_and_embeddings_are_those_of_the_pipeline(sentence, scale, request):
    pipe = request.getfixturevalue(scale)
    there = namespace(pipe)
    ids = there["tokenize"](sentence)[None]  # [1 t]
    assert torch.equal(ids, pipe.tokenizer(sentence, padding="max_length", return_tensors="pt").input_ids)
    torch.testing.assert_close(there["encode"](ids), pipe.encode_prompt(sentence, "cpu", 1, False)[0])


@pytest.mark.parametrize("scale", ["toy_pipe", "hub_pipe"])
@torch.no_grad()
def test_the_whole_way_is_that_of_the_pipeline(scale, request):
    pipe = request.getfixturevalue(scale)
    there, prompt = namespace(pipe), "a duck is spinning on a beach"
    start = seeding.noise([3], (pipe.unet.config.in_channels, 2, 8, 8))  # [b c f h w]
    wanted = pipe(
        prompt,
        latents=start,
        num_frames=2,
        height=64,
        width=64,
        num_inference_steps=4,
        guidance_scale=5.0,
        output_type="np",
    ).frames  # [b f h w c]
    embeddings = there["encode"](torch.stack([there["tokenize"](""), there["tokenize"](prompt)]))
    *_, (_, latents, _) = there["denoise"](start, embeddings, 4, 5.0)
    mine = (there["decode"](latents) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 4, 1)  # [b f h w c]
    torch.testing.assert_close(mine, torch.from_numpy(wanted), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("phi", "same"), [(0.0, True), (0.7, False)])
@torch.no_grad()
def test_the_rescaled_loop_is_the_plain_one_where_phi_is_0_and_keeps_the_spread_down_where_it_is_not(
    phi, same, toy_pipe
):
    there = namespace(toy_pipe)
    exec((NOTEBOOK.parent / "solutions" / "02_3.py").read_text(), there)  # the repository's own solution
    start = seeding.noise([3], (toy_pipe.unet.config.in_channels, 2, 8, 8))  # [b c f h w]
    embeddings = there["encode"](torch.stack([there["tokenize"](""), there["tokenize"]("a cat")]))
    *_, (_, plain, _) = there["denoise"](start, embeddings, 4, 15.0)
    *_, (_, ours, _) = there["denoise_rescaled"](start, embeddings, 4, 15.0, phi)
    assert torch.allclose(plain, ours, atol=1e-4) == same
    assert same or ours.std() < plain.std()
