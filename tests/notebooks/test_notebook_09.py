"""Notebook 09 builds what the package builds: its functions are taken out, run, and held against the package's."""

import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from notebook_functions import functions, source
from scipy import stats

from t2v_helpers import cartoon, metrics
from t2v_helpers.metrics import broken, power
from t2v_helpers.studies import comparison

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "09_measuring_video.ipynb"
CLIP = cartoon.render(cartoon.Labels("dog", "walking right", "forest"), 5, frames=6)[0]


HERE = {"np": np, "cv2": cv2, "math": math, "re": re, "metrics": metrics, "power": power,
        "cartoon": cartoon, "broken": broken, "STREAM": 2009, "lines": comparison.STUDY.load(),
        "HIGHER": {"adherence"}}  # fmt: skip
exec(source(functions(NOTEBOOK)), HERE)  # the repository's own notebook


def test_its_interval_of_a_share_is_the_packages():
    for k, n in ((0, 3), (5, 9), (64, 64)):
        assert HERE["wilson"](k, n) == pytest.approx(metrics.wilson(k, n), abs=1e-12)


def test_its_share_is_the_packages_adherence():
    asked = [cartoon.Labels("dog", "dancing"), cartoon.Labels("cat", "dancing"), cartoon.Labels("duck", "jumping")]
    seen = [asked[0], asked[0], asked[2]]
    assert HERE["share_right"](seen, asked) == metrics.adherence(seen, asked)[metrics.ALL_FOUR].share == 2 / 3


def test_its_bootstrap_is_scipys_before_the_correction():
    values, rng = np.random.default_rng(3).exponential(size=15) ** 2, np.random.default_rng(0)
    scipys = stats.bootstrap((values,), np.mean, method="percentile", rng=rng).confidence_interval
    assert np.quantile(HERE["redrawn_means"](values), [0.025, 0.975]) == pytest.approx(tuple(scipys), abs=1e-6)


def test_its_test_of_yes_and_no_is_the_packages():
    for lost, won in ((0, 0), (1, 0), (6, 0), (3, 9)):
        assert HERE["mcnemar"](lost, won) == pytest.approx(power.Pairs(lost, won, 20).p)


def test_its_intervals_are_those_of_shares_and_of_means():
    assert HERE["interval"]([True, False, True])[1:] == pytest.approx(metrics.wilson(2, 3))
    m = metrics.bootstrap([0.1, 0.4, 0.2, 0.9])
    assert HERE["interval"]([0.1, 0.4, 0.2, 0.9]) == (m.value, m.low, m.high)


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


def test_its_answers_of_yes_and_no_are_1_and_0():
    assert set(HERE["shows_all"]("pndm", 16)) == {0.0, 1.0}


@pytest.mark.parametrize("name", [*broken.BREAKS, "wrong subject"])
def test_it_breaks_clips_and_leaves_whole_ones(name):
    labels = HERE["sentence"](4)[1]
    whole = cartoon.render(labels, 4, 6)[0]
    assert not np.array_equal(HERE["break_clip"](name, 4, whole), whole)
    assert HERE["break_clip"]("as it is", 4, whole) is whole


def test_its_words_follow_the_direction():
    found = [[HERE["word"](sign, k) for sign in (1, -1, 0)] for k in ("adherence", "flicker")]
    assert found == [["**FOOLED**", "noticed", "*blind*"], ["noticed", "**FOOLED**", "*blind*"]]


@pytest.mark.parametrize(
    ("measure", "old", "new", "sign", "said"),
    [
        ("adherence", [True] * 10, [False] * 5 + [True] * 5, 0, "5 lost, 0 won of 10, p = 0.062"),
        ("adherence", [True] * 10, [False] * 6 + [True] * 4, -1, "6 lost, 0 won of 10, p = 0.031"),
        ("flicker", [0.1, 0.2, 0.3, 0.4], [0.2, 0.4, 0.5, 0.5], 1, "+0.150 ("),
        ("flicker", [0.1, 0.2], [0.1, 0.2], 0, "0.000 (0.000 to 0.000)"),
    ],
)
def test_one_rule_for_yes_and_no_and_one_for_numbers(measure, old, new, sign, said):
    given = HERE["change"]("broken", measure, {"as it is": {measure: old}, "broken": {measure: new}})
    assert given[0] == sign and said in given[1]


# --- the exercises


def test_the_reading_of_exercise_1_says_what_the_table_says(solution):
    read, said = solution("09_1", "read_aloud"), {"better": "**FOOLED**", "worse": "noticed", "cannot tell": "*blind*"}
    for low, high, sign in ((1, 2, 1), (-2, -1, -1), (-1, 2, 0), (0, 1, 0)):
        for measure in ("adherence", "flicker"):
            assert said[read(low, high, measure in HERE["HIGHER"])] == HERE["word"](sign, measure)


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
    assert n <= power.seeds_needed(a, b) <= 1.5 * n
