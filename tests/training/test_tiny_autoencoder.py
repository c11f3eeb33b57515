"""The tiny autoencoder: it copies the full one, and stands in its place."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from t2v_helpers.core import seeding
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import generate, loading
from t2v_helpers.model.folders import manifests
from t2v_helpers.training import autoencoder, loop, tiny_autoencoder


@pytest.fixture(scope="module")
def vae(toy_sizes):
    full = seeding.seeded(0, autoencoder.new_vae)
    full.register_to_config(scaling_factor=2.0)
    return full


def test_a_batch_is_what_the_full_one_makes(vae):
    task = tiny_autoencoder.TinyTask(tiny_autoencoder.TinySettings(batch=2), vae)
    frames, mask, latents, seen = task.batch(3)
    assert frames.shape == seen.shape == (2, 3, 64, 64) and mask.shape == (2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(vae.decode(latents / 2).sample, seen, atol=1e-4, rtol=1e-4)
    assert torch.equal(frames, task.batch(3)[0]) and not torch.equal(frames, task.batch(4)[0])


def test_it_learns_and_the_full_one_stays(vae, tmp_path):
    before = {name: x.clone() for name, x in vae.state_dict().items()}
    task = tiny_autoencoder.TinyTask(tiny_autoencoder.TinySettings(steps=30, batch=4, warm_up=2), vae)
    losses = [step.loss for step in loop.train(task, tmp_path)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert all(torch.equal(before[name], x) for name, x in vae.state_dict().items())


def test_it_replaces_the_full_one_in_a_pipeline(tmp_path):
    folder = tmp_path / "tiny"
    pipe = loading.load("cartoon", quiet=True)
    channels = pipe.vae.config.latent_channels
    tiny_autoencoder.export(seeding.seeded(0, lambda: tiny_autoencoder.new_tiny(channels)), folder)
    manifests.check(folder)
    spec = GenerationSpec("a dog is dancing", steps=1, frames=2)
    full = generate.generate(pipe, spec)
    pipe.register_modules(vae=AutoencoderTiny.from_pretrained(folder).float())
    tiny = generate.generate(pipe, spec)
    assert tiny.frames.shape == full.frames.shape and not np.array_equal(tiny.frames, full.frames)
