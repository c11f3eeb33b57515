"""The recipe: the parts fit, and what is shipped opens with plain diffusers."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler

from t2v_helpers import cartoon, dataset, files, recipe, words


@pytest.fixture(scope="module")
def pipe():
    """The cartoon model's pipeline with untrained weights."""
    tokenizer = words.new_tokenizer()
    build = (recipe.new_vae, recipe.new_unet, lambda: recipe.new_text_encoder(tokenizer))
    vae, unet, text_encoder = (recipe.seeded(0, part).eval() for part in build)
    return recipe.pipeline(vae, unet, text_encoder, tokenizer, 0.5)


def test_a_shipped_folder_opens_with_plain_diffusers(pipe, tmp_path):
    folder = tmp_path / "model"
    recipe.ship(pipe, folder)
    files.check_manifest(folder)
    opened = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    frames = opened("a dog is dancing", num_frames=3, num_inference_steps=1, output_type="np").frames[0]
    assert frames.shape == (3, 64, 64, 3) and np.isfinite(frames).all()
    assert opened.vae.config.scaling_factor == 0.5
    assert not list(folder.rglob("*.bin"))


def test_a_model_too_large_is_not_shipped(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="but at most 1000 are shipped"):
        recipe.ship(pipe, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_schedule_is_the_published_one():
    config = recipe.new_scheduler().config
    assert (config.beta_start, config.beta_end, config.beta_schedule) == (0.00085, 0.012, "scaled_linear")
    assert config.prediction_type == "epsilon" and not config.clip_sample


def test_the_shipped_schedule_leaves_other_schedulers_their_own_spacing(pipe, tmp_path):
    recipe.ship(pipe, tmp_path / "model")
    config = DDIMScheduler.load_config(tmp_path / "model", subfolder="scheduler")
    assert "timestep_spacing" not in config
    dpm = DPMSolverMultistepScheduler.from_config(config)
    dpm.set_timesteps(25)
    assert int(dpm.timesteps[0]) == 999


def test_each_round_warms_up_and_cools_down(tmp_path):
    path = tmp_path / "latents.safetensors"
    list(dataset.encode(recipe.seeded(0, recipe.new_vae).eval(), 0, 1, path))
    task = recipe.UnetTask(recipe.UnetSettings(), dataset.Clips.load(path), words.new_tokenizer())
    assert task.steps == sum(stretch.steps for stretch in task.chosen.rounds)
    start = 0
    for stretch in task.chosen.rounds:
        assert task.lr(start) < stretch.lr / 10 and task.lr(start + 100) == stretch.lr
        start += stretch.steps
        assert task.lr(start - 1) < stretch.lr / 100


def test_batches_follow_from_the_step_alone():
    task = recipe.VaeTask(recipe.VaeSettings(batch=2))
    first, again, other = task.batch(7), task.batch(7), task.batch(8)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])
    assert first[0].shape == (2, 3, 64, 64) and first[1].shape == (2, 1, 64, 64)


def test_clips_are_of_size_one_and_keep_their_labels(tmp_path):
    path = tmp_path / "latents.safetensors"
    list(dataset.encode(recipe.seeded(0, recipe.new_vae).eval(), 5, 2, path))
    clips = dataset.Clips.load(path)
    assert clips.latents.shape == (2, 8, 16, 8, 8)
    assert clips.latents.std().item() == pytest.approx(1, abs=0.01)
    assert clips.labels == [cartoon.item(5, i, frames=1).labels for i in range(2)]
