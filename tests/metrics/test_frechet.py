"""The distance of videos to drawings: zero for the drawings themselves, large for broken ones."""

import numpy as np
import pytest

from t2v_helpers import cartoon, metrics
from t2v_helpers.metrics import broken, frechet

ASKED = [cartoon.item(31, i, frames=1, split="all").labels for i in range(48)]


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return metrics.drawings(ASKED, 1000, frames=6)


def test_the_drawings_themselves_have_no_distance(drawn):
    found = metrics.frechet_to_drawings(drawn, ASKED, 1000)["all"]
    assert found.distance.value < 1e-3 < found.floor.value and found.distance.n == 48


def test_other_drawings_are_as_far_as_the_floor_and_broken_ones_farther(drawn):
    fine = metrics.frechet_to_drawings(drawn, ASKED, 5000)["all"]
    frozen = metrics.frechet_to_drawings(np.stack([broken.frozen(x) for x in drawn]), ASKED, 5000)["all"]
    assert 0.5 < fine.distance.value / fine.floor.value < 2 < frozen.distance.value / frozen.floor.value
    assert fine.floor == frozen.floor


def test_each_word_has_its_own_distance(drawn):
    videos = drawn.copy()
    chosen = [i for i, labels in enumerate(ASKED) if labels.style == "plain"]
    videos[chosen] = 255 - videos[chosen]
    found = metrics.frechet_to_drawings(videos, ASKED, 5000)
    assert found["style/plain"].distance.value > 3 * found["style/plain"].floor.value
    assert found["style/plain"].distance.n == len(chosen)
    assert all(x.distance.n >= frechet.FEWEST for x in found.values())


def test_the_interval_contains_the_value_and_is_infinite_for_few_videos():
    a, b = np.random.default_rng(0).normal(size=(2, 100, 3))
    measured = frechet._measured(a, b)
    assert 0 <= measured.low < measured.value < measured.high < 1
    assert frechet._measured(a[:9], b[:9]).high == float("inf")


def test_the_interval_shrinks_with_the_number():
    a, b = np.random.default_rng(0).normal(size=(2, 4000, 2)) + np.array([[[0.0]], [[1.0]]])
    few, many = (frechet._measured(a[:n], b[:n]) for n in (100, 4000))
    assert many.low < 2 < many.high  # two shifts by 1: their squares add up
    assert 3 * (many.high - many.low) < few.high - few.low


def test_bad_input_is_refused(drawn):
    with pytest.raises(ValueError, match="48 videos and 3 labels"):
        metrics.frechet_to_drawings(drawn, ASKED[:3])
    with pytest.raises(ValueError, match="asked is empty"):
        metrics.drawings([], 0)
    with pytest.raises(ValueError, match="videos are list"):
        metrics.frechet_to_drawings([1], ASKED)
