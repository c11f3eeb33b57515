"""The measurements of `make bench`, on the toy pipeline and on drawings."""

import numpy as np
import pytest

from t2v_helpers import cartoon, metrics
from t2v_helpers.metrics.estimates import of_ratios
from t2v_helpers.model import loading
from t2v_helpers.studies import release
from t2v_helpers.studies import release_measures as measures


def clip(labels: cartoon.Labels, seed: int) -> np.ndarray:
    return cartoon.render(labels, seed)[0]


def test_by_word_counts_what_was_asked():
    a, b = cartoon.Labels("dog", "dancing", "lake"), cartoon.Labels("cat", "dancing", "lake")
    assert measures.by_word([a, a], [a, b])["subject"] == {"cat": [0, 1], "dog": [1, 1]}
    assert measures.by_word([a, a], [a, b])["action"] == {"dancing": [2, 2]}


def test_judge_is_measured_in_every_way():
    found = measures.measure_judge(8)
    assert {f"judge/{way}" for way in metrics.DISTURBANCES} <= set(found)
    weakest = min(found[f"judge/blur/{x}"].value for x in metrics.LABELS)
    assert found["judge/blur"].value == weakest and found["judge/blur"].n == 8


def test_vae_is_measured_on_fresh_renders(toy_pipe):
    found = measures.measure_vae(toy_pipe.vae, 3)
    assert 0 < found["vae/psnr"].value < 25 and found["vae/place"].n == 3  # the toy is not trained
    assert found["vae/sharpness"].n == 3 and not 0.8 < found["vae/sharpness"].value < 1.2


def test_reconstruction_of_every_video_is_its_own(toy_pipe):
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    both, second = (
        measures.reconstruct(toy_pipe.vae, frames),
        measures.reconstruct(toy_pipe.vae, frames[1:]),
    )
    assert both.shape == frames.shape and both.dtype == np.uint8
    assert np.abs(both[1:].astype(int) - second).max() <= 1


def test_prompts_are_measured_and_counted(toy_pipe):
    found, words = measures.measure_prompts(toy_pipe, 3, "held_out", batch_size=2, steps=2)
    assert found["held_out/all four"].n == 3 and found["held_out/sharpness"].value > 0
    assert found["held_out/whole"].n == 3 and "held_out/frechet" not in found, "three videos have no interval"
    assert sum(asked for _, asked in words["subject"].values()) == 3


def test_sharpness_of_renders_against_renders_is_about_one():
    dogs = [x for x in cartoon.combinations() if (x.subject, x.action) == ("dog", "dancing")]
    items = [cartoon.Item(clip(labels, i), "", labels, np.empty(0)) for i, labels in enumerate(dogs)]
    ratios = [metrics.sharpness_ratio(clip(item.labels, 900 + i), item) for i, item in enumerate(items)]
    assert of_ratios(ratios).value == pytest.approx(1, abs=0.1)


def test_looks_of_drawings_are_those_of_drawings():
    items = [cartoon.item(measures.SEED, i, frames=4, split="all") for i in range(40)]
    found = measures.measure_looks(np.stack([item.frames for item in items]), items)
    assert found["whole"] == found["whole drawings"] and found["wholeness"].value == 1
    assert found["frechet"].value < 2 * found["frechet floor"].value
    assert found["frechet"].n == 40 and "frechet/style/plain" not in found, "too few have no interval"


def test_times_are_measured(toy_pipe, toy_folder):
    found = measures.measure_timings(toy_pipe, str(toy_folder), repeats=1, steps=2)
    assert 0 < found["timings/import"].value < found["timings/first video"].value
    assert found["timings/video"].value > 0 and "timings/student" not in found, "the toy has no student"


def test_the_student_is_timed_beside_its_teacher(toy_pipe, monkeypatch):
    monkeypatch.setattr(measures.loading, "load", lambda *_, **__: toy_pipe)
    found = measures._student_times("cartoon", 3, own=0.5)
    assert found["timings/student ratio"].value == pytest.approx(2 * found["timings/student"].value)


def test_temporal_layers_are_measured_on_off_and_one_kind_alone(toy_pipe):
    found = measures.measure_temporal(toy_pipe, 2, steps=2)
    assert set(found) == {name for name in release.BARS if name.startswith("temporal/")}
    assert all(m.n == 2 for m in found.values()) and found["temporal/drawings/flicker"].value >= 0
    flickers = [found[f"temporal/{way}/flicker"].value for way in measures.TEMPORAL]
    assert len(set(flickers)) == 4, "a variant leaves the same layers on as another one"


def test_the_dit_is_measured_beside_the_unet_and_leaves_it_in_its_place():
    pipe = loading.load("cartoon", device="cpu", dtype="float32", quiet=True)
    unet, found = pipe.unet, measures.measure_dit(pipe, "cartoon", 2, steps=2)
    asked = (metrics.ALL_FOUR, "whole", "sharpness", "flicker")
    assert found.keys() == {f"dit/{name}/{what}" for name in ("dit", "unet") for what in asked}
    assert found["dit/dit/whole"].n == 2 and found["dit/dit/flicker"] != found["dit/unet/flicker"]
    assert pipe.unet is unet and found.keys() <= release.BARS.keys()
    assert measures.measure_dit(pipe, "another", 2) == {}
