"""The recipe: the parts fit, and what is shipped opens with plain diffusers."""

import json
import os

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler
from safetensors.torch import save_file

from t2v_helpers import cartoon, dataset, files, recipe, words
from t2v_helpers.temporal import temporal_layers_off


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


def test_a_model_replaces_a_model_and_nothing_stays_beside(pipe, tmp_path):
    (tmp_path / "model").mkdir()
    recipe.ship(pipe, tmp_path / "model")  # an empty folder
    (tmp_path / "model" / "stale.txt").touch()
    (tmp_path / "link").symlink_to(tmp_path / "model")
    recipe.ship(pipe, tmp_path / "link")
    files.check_manifest(tmp_path / "model")
    assert not (tmp_path / "model" / "stale.txt").exists()
    assert sorted(os.listdir(tmp_path)) == ["link", "model"]


def test_a_failure_leaves_the_model_that_was_there(pipe, tmp_path, monkeypatch):
    recipe.ship(pipe, tmp_path / "model")
    with pytest.raises(FileNotFoundError):
        files._swap(tmp_path / "none", tmp_path / "model", tmp_path / "old")
    monkeypatch.setattr(recipe, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="but at most 1000 are shipped"):
        recipe.ship(pipe, tmp_path / "model")
    files.check_manifest(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]


def test_no_other_folder_is_replaced(pipe, tmp_path, monkeypatch):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").touch()
    with pytest.raises(
        ValueError, match="cannot replace '.*thesis'.* because it holds files, but no model: name a new"
    ):
        recipe.ship(pipe, thesis)
    with pytest.raises(NotADirectoryError, match="chapter.tex is a file, so .*: choose another name"):
        recipe.ship(pipe, thesis / "chapter.tex")
    (thesis / "model_index.json").touch()
    monkeypatch.chdir(thesis)
    for folder in ("", ".", "..", thesis, tmp_path.anchor):
        with pytest.raises(ValueError, match=r"\(--out\), because .*thesis would be lost with it: name a new folder"):
            recipe.ship(pipe, recipe.Path(folder))
    assert sorted(os.listdir(thesis)) == ["chapter.tex", "model_index.json"] and os.listdir(tmp_path) == ["thesis"]


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
    assert clips.latents.shape == (2, 16, 16, 8, 8)
    assert clips.latents.float().std().item() == pytest.approx(1, abs=0.01)
    assert clips.labels == [cartoon.item(5, i, frames=1).labels for i in range(2)]


LABELS = json.dumps([{"subject": "dog", "action": "dancing"}])
GOOD = torch.randn(1, 16, 16, 8, 8, generator=torch.Generator().manual_seed(0))
STD = str(GOOD.std().item())


@pytest.mark.parametrize(
    "latents, about, why",
    [
        (GOOD, None, "its header does not say labels and std"),
        (GOOD, {"labels": "[", "std": STD}, "Expecting value"),
        (GOOD, {"labels": "[1]", "std": STD}, "must be a mapping"),
        (GOOD, {"labels": LABELS.replace("dog", "gnu"), "std": STD}, "subject is 'gnu', but must be one of"),
        (GOOD, {"labels": "[]", "std": STD}, r"latents have shape \[1, 16, 16, 8, 8\], but it has 0 labels"),
        (GOOD[:, :4], {"labels": LABELS, "std": STD}, r"latents have shape \[1, 4, 16, 8, 8\], but it has 1 labels"),
        (GOOD, {"labels": LABELS, "std": "x"}, "could not convert string to float"),
        (
            GOOD,
            {"labels": LABELS, "std": "nan"},
            "its header says a standard deviation of nan, but that of the latents",
        ),
        (
            2 * GOOD,
            {"labels": LABELS, "std": STD},
            "its header says a standard deviation of .*, but that of the latents",
        ),
        (0 * GOOD, {"labels": LABELS, "std": "0"}, "division by zero"),
    ],
)
def test_damaged_latents_are_refused(tmp_path, latents, about, why):
    path = tmp_path / "latents.safetensors"
    save_file({"latents": latents.contiguous()}, path, metadata={"labels": LABELS, "std": STD})
    if latents is GOOD:
        dataset.Clips.load(path)
    save_file({"latents": latents.contiguous()}, path, metadata=about)
    with pytest.raises(ValueError, match=f"latents.safetensors holds no whole latents .*{why}.*: delete it and run"):
        dataset.Clips.load(path)


def test_latents_that_are_no_such_file_or_not_there_are_refused(tmp_path):
    path = tmp_path / "latents.safetensors"
    with pytest.raises(FileNotFoundError, match=r"stage latents is not finished .*: run `t2v train latents`"):
        dataset.Clips.load(path)
    path.write_text("xx")
    with pytest.raises(ValueError, match="holds no whole latents .*: delete it and run `t2v train latents`"):
        dataset.Clips.load(path)
    save_file({"other": GOOD}, path, metadata={"labels": LABELS, "std": STD})
    with pytest.raises(ValueError, match="holds no whole latents .*latents.*: delete it and run `t2v train latents`"):
        dataset.Clips.load(path)


def test_the_courses_unet_learns_in_the_place_of_diffusers():
    ours, x = recipe.seeded(3, recipe.new_course_unet).eval(), torch.randn(2, 16, 3, 8, 8)
    for p in ours.parameters():
        torch.nn.init.normal_(p, std=0.05)  # the layers along time are silent at the start
    there, words, t = recipe.for_diffusers(ours), torch.randn(2, 24, 128), torch.tensor([10, 900])
    with torch.no_grad():
        torch.testing.assert_close(ours(x, t, words).sample, there(x, t, words).sample, atol=1e-4, rtol=1e-4)
        with recipe.frames_alone(ours), temporal_layers_off(there):
            alone = ours(x, t, words).sample
            torch.testing.assert_close(alone, there(x, t, words).sample, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(alone, ours(x, t, words).sample, atol=1e-2)
    assert {part.p for part in ours.modules() if isinstance(part, torch.nn.Dropout)} == {0.0}
