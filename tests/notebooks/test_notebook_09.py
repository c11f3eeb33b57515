"""Notebook 09 builds what the package builds: its functions are taken out, run, and held against the package's."""

from pathlib import Path
from statistics import NormalDist

import cv2
import numpy as np
import pytest
import torch
from notebook_functions import functions, source

from t2v_helpers import cartoon, metrics
from t2v_helpers.metrics import broken, power
from t2v_helpers.studies import comparison

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "09_measuring_video.ipynb"
CLIP = cartoon.render(cartoon.Labels("dog", "walking right", "forest"), 5, frames=6)[0]


HERE = {"np": np, "cv2": cv2, "NormalDist": NormalDist, "metrics": metrics, "cartoon": cartoon, "broken": broken,
        "STREAM": 2009, "NUMBERED": {"shuffled": broken.shuffled, "noise": broken.noisy},
        "lines": comparison.STUDY.load(), "HIGHER": {"adherence"}}  # fmt: skip
exec(source(functions(NOTEBOOK)), HERE)  # the repository's own notebook


def test_its_interval_of_a_share_is_the_packages():
    for k, n in ((0, 3), (5, 9), (64, 64)):
        assert HERE["wilson"](k, n) == pytest.approx(metrics.wilson(k, n), abs=1e-12)


def test_its_share_is_the_packages_adherence():
    asked = [cartoon.Labels("dog", "dancing"), cartoon.Labels("cat", "dancing"), cartoon.Labels("duck", "jumping")]
    seen = [asked[0], asked[0], asked[2]]
    assert HERE["share_right"](seen, asked) == metrics.adherence(seen, asked)[metrics.ALL_FOUR].share == 2 / 3


def test_its_bootstrap_is_the_packages():
    values = np.random.default_rng(3).exponential(size=15) ** 2
    package = metrics.bootstrap(values)
    assert HERE["bca"](values) == pytest.approx((package.low, package.high), abs=1e-6)


def test_its_measures_of_a_clip_are_the_packages():
    clip = metrics.load_clip()
    v, t = HERE["raw_vectors"](clip, CLIP, "a dog")
    mean = np.mean([HERE["cosine"](frame, t) for frame in v.detach()])
    assert mean == pytest.approx(metrics.clip_similarity(CLIP, "a dog"), abs=1e-5)
    assert HERE["frame_similarity"](v.detach()) == pytest.approx(metrics.frame_similarity(CLIP), abs=1e-5)
    noisy = broken.noisy(CLIP)
    assert HERE["flicker"](noisy) == pytest.approx(metrics.flicker(noisy), abs=1e-6)
    errors = [HERE["pair_error"](*pair) for pair in zip(noisy[:-1], noisy[1:], strict=True)]
    assert np.mean(errors) == pytest.approx(metrics.warped_error(noisy), rel=1e-5)


def test_its_frechet_distance_is_the_packages():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(80, 5)), 2 * rng.normal(size=(60, 5)) + 1
    assert HERE["frechet_distance"](a, b) == pytest.approx(metrics.frechet_distance(a, b), rel=1e-9)


def test_its_power_is_the_packages():
    a, b = HERE["log_distances"]("dpm++_2s", 10), HERE["log_distances"]("dpm++", 10)
    for n in (8, 24):
        assert HERE["power_by_hand"](a, b, n) == power.simulated(a, b, n).share
    assert set(HERE["shows_all"]("pndm", 16)) == {0.0, 1.0}


@pytest.mark.parametrize("name", [*broken.BREAKS, "wrong subject"])
def test_it_breaks_clips_and_leaves_whole_ones(name):
    labels = HERE["sentence"](4)[1]
    whole = cartoon.render(labels, 4, 6)[0]
    assert not np.array_equal(HERE["break_clip"](name, 4, whole), whole)
    assert HERE["break_clip"]("as it is", 4, whole) is whole


def test_its_words_follow_the_direction():
    up, down, both = metrics.Measure(2, 1, 3, 9), metrics.Measure(-2, -3, -1, 9), metrics.Measure(0, -1, 1, 9)
    found = [[HERE["word"](m, k) for m in (up, down, both)] for k in ("adherence", "flicker")]
    assert found == [["**FOOLED**", "noticed", "*blind*"], ["noticed", "**FOOLED**", "*blind*"]]


# --- the exercises


def test_the_reading_of_exercise_1_says_what_the_table_says(solution):
    read, said = solution("09_1", "read_aloud"), {"better": "**FOOLED**", "worse": "noticed", "cannot tell": "*blind*"}
    for low, high in ((1, 2), (-2, -1), (-1, 2), (0, 1)):
        for measure in ("adherence", "flicker"):
            m = metrics.Measure((low + high) / 2, low, high, 9)
            assert said[read(low, high, measure in HERE["HIGHER"])] == HERE["word"](m, measure)


def test_the_similarity_of_exercise_2_is_the_packages(solution):
    clip = metrics.load_clip()
    v, t = HERE["raw_vectors"](clip, CLIP, "a dog")
    with torch.no_grad():
        assert solution("09_2", "clipsim")(v, t) == pytest.approx(metrics.clip_similarity(CLIP, "a dog"), abs=1e-5)


def test_exercise_3_fools_the_warped_error_on_other_clips_too(solution):
    assert metrics.warped_error(solution("09_3", "fool")(CLIP)) < metrics.warped_error(CLIP)


def test_the_formula_of_exercise_4_is_near_the_simulation(solution):
    a, b = HERE["log_distances"]("dpm++_2s", 10), HERE["log_distances"]("dpm++", 10)
    n = solution("09_4", "videos_for")(a, b)
    assert n == np.ceil(HERE["normal_guess"](a, b)) and n <= power.seeds_needed(a, b) <= 1.5 * n
