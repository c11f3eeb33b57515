"""Export: what is written opens with plain diffusers, and replaces nothing but a model."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler

from t2v_helpers.cartoon.tokenizer import new_tokenizer
from t2v_helpers.core import seeding
from t2v_helpers.model.folders import manifests
from t2v_helpers.training import autoencoder, denoiser, export


@pytest.fixture(scope="module")
def pipe(toy_sizes):
    """The cartoon model's pipeline with few channels and untrained weights."""
    tokenizer = new_tokenizer()
    build = (autoencoder.new_vae, denoiser.new_unet, lambda: denoiser.new_text_encoder(tokenizer))
    vae, unet, text_encoder = (seeding.seeded(0, part).eval() for part in build)
    return export.as_pipeline(vae, unet, text_encoder, tokenizer, 0.5)


def test_an_exported_folder_opens_with_plain_diffusers(pipe, tmp_path):
    folder = tmp_path / "model"
    export.export(pipe, folder)
    manifests.check(folder)
    opened = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    frames = opened("a dog is dancing", num_frames=3, num_inference_steps=1, output_type="np").frames[0]
    assert frames.shape == (3, 64, 64, 3) and np.isfinite(frames).all()
    assert opened.vae.config.scaling_factor == 0.5
    assert not list(folder.rglob("*.bin"))


def test_a_student_too_large_or_in_place_of_something_else_is_not_written(pipe, tmp_path, monkeypatch):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ValueError, match="cannot replace .*: it holds files"):
        export.export_student(pipe, denoiser.SCHEDULE, tmp_path)
    export.export(pipe, tmp_path / "model")
    monkeypatch.setattr(export, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        export.export_student(pipe, denoiser.SCHEDULE, tmp_path / "model")
    manifests.check(tmp_path / "model")
    monkeypatch.undo()
    export.export_student(pipe, denoiser.SCHEDULE, tmp_path / "model")  # a student replaces a whole model
    manifests.check(tmp_path / "model")
    assert not (tmp_path / "model" / "vae").exists() and sorted(os.listdir(tmp_path)) == ["model", "thesis.txt"]


def test_a_model_too_large_is_not_written(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        export.export(pipe, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_model_replaces_a_model_and_leaves_nothing_else(pipe, tmp_path):
    (tmp_path / "model").mkdir()
    export.export(pipe, tmp_path / "model")  # an empty folder
    (tmp_path / "model" / "unet" / "stale.txt").touch()
    (tmp_path / "link").symlink_to(tmp_path / "model")
    export.export(pipe, tmp_path / "link")
    manifests.check(tmp_path / "model")
    assert not (tmp_path / "model" / "unet" / "stale.txt").exists()
    assert sorted(os.listdir(tmp_path)) == ["link", "model"]


def test_a_failure_leaves_the_model_that_was_there(pipe, tmp_path, monkeypatch):
    export.export(pipe, tmp_path / "model")
    monkeypatch.setattr(export, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        export.export(pipe, tmp_path / "model")
    manifests.check(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]


def test_no_other_folder_is_replaced(pipe, tmp_path, monkeypatch):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").touch()
    with pytest.raises(ValueError, match="cannot replace '.*thesis': it holds files"):
        export.export(pipe, thesis)
    with pytest.raises(NotADirectoryError, match="chapter.tex is a file"):
        export.export(pipe, thesis / "chapter.tex")
    (thesis / "model_index.json").touch()
    monkeypatch.chdir(thesis)
    for folder in ("", ".", "..", thesis, tmp_path.anchor):
        with pytest.raises(ValueError, match="you are working in it"):
            export.export(pipe, Path(folder))
    assert sorted(os.listdir(thesis)) == ["chapter.tex", "model_index.json"] and os.listdir(tmp_path) == ["thesis"]


def test_the_exported_schedule_leaves_other_schedulers_their_own_spacing(pipe, tmp_path):
    export.export(pipe, tmp_path / "model")
    config = DDIMScheduler.load_config(tmp_path / "model", subfolder="scheduler")
    assert "timestep_spacing" not in config
    dpm = DPMSolverMultistepScheduler.from_config(config)
    dpm.set_timesteps(25)
    assert int(dpm.timesteps[0]) == 999
