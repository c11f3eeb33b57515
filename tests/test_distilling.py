"""The tiny autoencoder: it copies the full one, and stands in its place."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from t2v_helpers import distilling, files, generate, models, recipe, training
from t2v_helpers.records import GenerationSpec


@pytest.fixture(scope="module")
def vae():
    full = training.seeded(0, recipe.new_vae)
    full.register_to_config(scaling_factor=2.0)
    return full


def test_a_batch_is_what_the_full_one_makes(vae):
    task = distilling.TinyTask(distilling.TinySettings(batch=2), vae)
    frames, mask, latents, seen = task.batch(3)
    assert frames.shape == seen.shape == (2, 3, 64, 64) and mask.shape == (2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(vae.decode(latents / 2).sample, seen, atol=1e-4, rtol=1e-4)
    assert torch.equal(frames, task.batch(3)[0]) and not torch.equal(frames, task.batch(4)[0])


def test_it_learns_and_the_full_one_stays(vae, tmp_path):
    before = {name: x.clone() for name, x in vae.state_dict().items()}
    task = distilling.TinyTask(distilling.TinySettings(steps=30, batch=4, warm_up=2, lr=1e-2), vae)
    shown = [step.shown for step in training.train(task, tmp_path)]
    at_first, at_last = (
        {name: np.mean([x[name] for x in part]) for name in shown[0]} for part in (shown[:5], shown[-5:])
    )
    assert at_last["psnr"] > at_first["psnr"] + 4 and at_last["latents"] < 0.7 * at_first["latents"]
    assert all(torch.equal(before[name], x) for name, x in vae.state_dict().items())


def test_shipped_it_stands_in_the_place_of_the_full_one(tmp_path):
    folder = tmp_path / "tiny"
    pipe = models.load("cartoon", quiet=True)
    channels = pipe.vae.config.latent_channels
    distilling.ship(training.seeded(0, lambda: distilling.new_tiny(channels)), folder)
    files.check_manifest(folder)
    spec = GenerationSpec("a dog is dancing", steps=1, frames=2)
    full = generate.generate(pipe, spec)
    pipe.register_modules(vae=AutoencoderTiny.from_pretrained(folder).float())
    tiny = generate.generate(pipe, spec)
    assert tiny.frames.shape == full.frames.shape and not np.array_equal(tiny.frames, full.frames)
