"""A CLIP's folder from others: what its processor may say, and that pictures of any shape are made to fit."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from t2v_helpers import cartoon, metrics


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped CLIP that a test may damage."""
    copy = shutil.copytree(metrics.CARTOON, tmp_path / "clip")
    (copy / "manifest.json").unlink()
    return copy


def change(path, *way, **values):
    """Other values in a table of a JSON file."""
    table = json.loads(path.read_text())
    place = table
    for key in way:
        place = place[key]
    place |= values
    path.write_text(json.dumps(table))


def pictures(folder, **values):
    change(folder / "processor_config.json", "image_processor", **values)


@pytest.mark.parametrize("values", [
    {"size": {"shortest_edge": 64}, "do_center_crop": True, "crop_size": {"height": 64, "width": 64}},
    {"size": 64, "do_center_crop": True, "crop_size": 64}, {"size": {"height": 64, "width": 64}},
])  # fmt: skip
def test_pictures_may_be_made_to_fit_in_several_ways(folder, values):
    pictures(folder, **values)
    frames = cartoon.item(0, 0, 2).frames
    assert metrics.clip_similarity(frames, "a dog", metrics.load_clip(folder)) == pytest.approx(
        metrics.clip_similarity(frames, "a dog"), abs=1e-5
    )


@pytest.mark.parametrize("key, value", [
    ("crop_size", {"shortest_edge": 64}), ("size", {}), ("size", []), ("size", None), ("size", {"height": 64}),
    ("size", {"shortest_edge": 2**62}), ("size", 10**400), ("size", True), ("rescale_factor", 1e308),
    ("rescale_factor", 10**400), ("image_std", [0, 1, 1]), ("image_mean", [10**30] * 3), ("resample", 6),
])  # fmt: skip
def test_a_value_that_its_rule_does_not_allow_is_named(folder, key, value):
    pictures(folder, **{key: value})
    with pytest.raises(ValueError, match=f"complete CLIP .*the configuration has {key}=.* must be"):
        metrics.load_clip(folder)


@pytest.mark.parametrize("values, said", [
    ({"do_center_crop": True, "crop_size": 1}, "size"), ({"do_resize": False}, "size"),
    ({"size": {"shortest_edge": 64}}, "size"),
    ({"rescale_factor": 1e6, "image_std": [1e-12] * 3}, "no finite numbers"),
])  # fmt: skip
def test_pictures_that_do_not_fit_the_network_are_refused_before_any_are_measured(folder, values, said):
    pictures(folder, **values)
    with pytest.raises(ValueError, match=f"complete CLIP .*{said}"):
        metrics.load_clip(folder)


def test_a_patch_above_the_picture_is_refused(folder):
    change(folder / "config.json", "vision_config", image_size=32, patch_size=64)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    patch = next(name for name in weights if "patch_embedding" in name)
    places = next(name for name in weights if "vision" in name and "position_embedding" in name)
    weights |= {patch: torch.zeros(len(weights[patch]), 3, 64, 64), places: weights[places][:1].clone()}
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match="complete CLIP .*has a config that does not work"):
        metrics.load_clip(folder)
