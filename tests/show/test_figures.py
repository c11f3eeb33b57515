"""The pictures of images/: the manifest, the files and the code agree, and a picture made again is the same picture."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from t2v_helpers import cartoon
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model.folders import manifests
from t2v_helpers.show import figures

MANIFEST = json.loads((figures.IMAGES / manifests.MANIFEST).read_text())["files"]
GIFS = [name for name in figures.FIGURES if name.endswith(".gif")]
TOLERANCE = 3.0  # grey levels of 255, on average: another processor rounds otherwise, and a GIF has 256 colours


def pixels(path: Path) -> np.ndarray:
    """Every frame of a PNG or GIF, int [f h w c]."""
    with Image.open(path) as image:
        return np.stack([np.asarray(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(image)])


def small_spec(prompt: str) -> GenerationSpec:
    return GenerationSpec(prompt, steps=1, frames=2)


@pytest.fixture
def small_figures(monkeypatch):
    """Two figures that a toy pipeline makes in a moment."""
    one, two = small_spec("a dog is jumping"), small_spec("a cat is jumping")
    quick = {name: figures.Figure((spec,), figures._gif) for name, spec in {"one.gif": one, "two.gif": two}.items()}
    monkeypatch.setattr(figures, "FIGURES", quick)


def test_every_file_is_a_figure_and_every_figure_a_file():
    there = {path.name for path in figures.IMAGES.iterdir()} - {manifests.MANIFEST}
    assert there == set(figures.FIGURES) == set(MANIFEST)


def test_the_manifest_tells_the_truth_about_the_bytes():
    manifests.check(figures.IMAGES)


@pytest.mark.parametrize("name", figures.FIGURES)
def test_the_manifest_names_the_command_and_the_specs(name):
    entry = MANIFEST[name]
    assert entry["command"] == f"t2v figures {name}"
    assert tuple(GenerationSpec.from_dict(spec) for spec in entry["specs"]) == figures.FIGURES[name].specs


@pytest.mark.parametrize("name", ["world.png", "blog_robot.gif", "unet.png", "layer.png", "shares.png"])
def test_a_picture_made_again_is_the_same_picture(name, tmp_path, likeness):
    (again,) = figures.make([name], tmp_path)
    committed, new = pixels(figures.IMAGES / name), pixels(again)
    assert committed.shape == new.shape
    other_letters = "image/png" in likeness.forgiven  # drawn by another matplotlib
    bytes_of = (committed.astype(np.uint8), new.astype(np.uint8))
    off = likeness.apart(*bytes_of) if other_letters else abs(committed - new).mean()
    assert off < TOLERANCE
    assert json.loads((tmp_path / manifests.MANIFEST).read_text())["files"][name]["specs"] == MANIFEST[name]["specs"]


@pytest.mark.parametrize("name", GIFS)
def test_a_gif_moves_and_is_small_enough_for_a_page(name):
    frames = pixels(figures.IMAGES / name)
    assert len(frames) == 16 and abs(np.diff(frames, axis=0)).mean() > 1
    assert (figures.IMAGES / name).stat().st_size <= 1 << 20


@pytest.mark.parametrize(
    "spec", dict.fromkeys(spec for figure in figures.FIGURES.values() for spec in figure.specs), ids=str
)
def test_every_prompt_is_a_sentence_of_the_cartoon_world(spec):
    assert cartoon.parse(spec.prompt)


def test_the_sheet_shows_every_subject_in_every_style():
    tile, gap = 2 * cartoon.SIZE, 4
    rows, columns = len(cartoon.STYLES), len(cartoon.SUBJECTS)
    assert figures.world_sheet().shape == (rows * (tile + gap) - gap, columns * (tile + gap) - gap, 3)


def test_making_one_figure_leaves_the_others_in_the_manifest(small_figures, toy_folder, tmp_path):
    figures.make([], tmp_path, toy_folder)
    before = json.loads((tmp_path / manifests.MANIFEST).read_text())["files"]
    figures.make(["two.gif"], tmp_path, toy_folder)
    manifests.check(tmp_path)
    assert json.loads((tmp_path / manifests.MANIFEST).read_text())["files"] == before
    assert list(before) == ["one.gif", "two.gif"] and before["one.gif"]["sha256"] != before["two.gif"]["sha256"]


def test_an_entry_that_is_no_figure_any_more_goes(small_figures, toy_folder, tmp_path):
    old = {"files": {"gone.png": {"bytes": 1, "sha256": "0"}}}
    (tmp_path / manifests.MANIFEST).write_text(json.dumps(old))
    figures.make(["one.gif"], tmp_path, toy_folder)
    assert list(json.loads((tmp_path / manifests.MANIFEST).read_text())["files"]) == ["one.gif"]


def test_an_unknown_figure_is_named_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match=re.escape("figure='hero.png' is unknown: ") + ".* hero.gif, "):
        figures.make(["world.png", "hero.png"], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}', "{}"])
def test_a_damaged_manifest_is_named_before_anything_is_drawn(tmp_path, text):
    (tmp_path / manifests.MANIFEST).write_text(text)
    with pytest.raises(ValueError, match="manifest.json is not a manifest .*: delete it, and make all figures again"):
        figures.make(["world.png"], tmp_path)
    assert not (tmp_path / "world.png").exists()


def test_a_folder_in_the_place_of_a_figure_is_named_before_anything_is_drawn(tmp_path):
    (tmp_path / "world.png").mkdir()
    with pytest.raises(IsADirectoryError, match="world.png is a folder"):
        figures.make(["shares.png", "world.png"], tmp_path)
    assert not (tmp_path / "shares.png").exists()


def test_the_command_makes_what_is_named(tmp_path):
    assert figures.main(["world.png", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "world.png").is_file()
