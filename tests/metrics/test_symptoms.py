"""The gauges of a broken video, each against a video that has the symptom."""

import numpy as np
import pytest

from t2v_helpers import cartoon, metrics

CLIP = cartoon.render(cartoon.Labels("dog", "walking right", "forest"), 5, frames=3)[0]


def test_a_black_video_has_finite_gauges_and_a_seam_is_seen():
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    assert np.isfinite(list(metrics.symptoms(frames).values())).all()
    frames[:, :, 4:] = 200
    assert metrics.symptoms(frames)["seam"] > 100 > 0 == metrics.symptoms(frames[:, :, :1])["seam"]


@pytest.mark.parametrize(
    ("broken", "gauge", "factor"),
    [
        (CLIP // 2, "light", 0.5),
        (CLIP // 2, "contrast", 0.5),
        (CLIP // 2, "colour", 0.5),
        (CLIP.repeat(2, axis=0)[:3], "motion", 0.5),
    ],
)
def test_a_gauge_follows_what_it_measures(broken, gauge, factor):
    before, after = metrics.symptoms(CLIP)[gauge], metrics.symptoms(broken)[gauge]
    assert after == pytest.approx(factor * before, rel=0.2)


def test_red_and_blue_exchanged_and_burnt_pixels_are_seen():
    exchanged, burnt = metrics.symptoms(CLIP[..., ::-1]), CLIP.copy()
    assert exchanged["red:blue"] == pytest.approx(1e4 / metrics.symptoms(CLIP)["red:blue"], rel=0.05)
    burnt[:, :4] = 255
    assert metrics.symptoms(burnt)["burnt"] >= 6 > metrics.symptoms(CLIP)["burnt"]


def test_one_frame_is_refused():
    with pytest.raises(ValueError, match="frames"):
        metrics.symptoms(CLIP[:1])
