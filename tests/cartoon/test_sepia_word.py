"""Sepia: what it is, that the measure tells it from the four old styles, and that no clip is a held-out combination."""

import numpy as np
import pytest

from t2v_helpers import cartoon
from t2v_helpers.cartoon import sepia_word


def test_a_grey_ramp_becomes_the_line_from_dark_to_light():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, None, :, None], 3, axis=-1)  # [1 1 256 3]
    printed = sepia_word.sepia(ramp)[0, 0].astype(float)
    assert np.array_equal(printed[0], sepia_word.DARK) and np.array_equal(printed[-1], sepia_word.LIGHT)
    assert (np.diff(printed, axis=0) >= 0).all()


def test_colours_of_one_brightness_become_one_colour():
    red, grey = np.array([255, 0, 0]), np.full(3, 76)  # 0.299 * 255 is 76.2
    a, b = (sepia_word.sepia(np.full((1, 1, 1, 3), colour, np.uint8)).astype(int) for colour in (red, grey))
    assert np.abs(a - b).max() <= 1


def test_the_distance_of_sepia_is_rounding_and_of_a_known_change_is_that_change():
    frames = sepia_word.clip(1, 0, frames=2)[0]
    assert sepia_word.distance(frames) < 0.5
    level = sepia_word.DARK + 0.5 * (sepia_word.LIGHT - sepia_word.DARK)
    off = np.array([-0.114, 0, 0.299]) * 100  # as bright, since LUMA has no say in this direction
    assert sepia_word.distance(np.full((1, 2, 2, 3), level + off)) == pytest.approx(np.abs(off).mean(), abs=1e-3)


@pytest.mark.parametrize("style", cartoon.STYLES)
def test_no_other_style_is_near_sepia(style):
    labels = cartoon.Labels("cat", "dancing", "forest", style)
    assert sepia_word.distance(cartoon.render(labels, seed=0, frames=1)[0]) > 13


@pytest.mark.parametrize(
    ("near", "far", "wanted"),
    [
        ([1, 2], [4, 9], 3),  # nothing is on the wrong side
        ([1, 2, 8], [3, 9, 9], 2.5),  # one is, wherever the limit lies: the smallest such limit
        ([9, 9, 9], [1], 5),  # even the best limit has all on the wrong side
    ],
)
def test_the_limit_has_the_fewest_drawings_on_the_wrong_side(near, far, wanted):
    assert sepia_word.limit(near, far) == wanted
    assert sepia_word.limit(near[::-1], far[::-1]) == wanted


def test_a_limit_needs_drawings_of_both_kinds():
    with pytest.raises(ValueError, match="0 near and 1 far"):
        sepia_word.limit([], [3.0])


def test_a_clip_is_a_function_of_seed_and_index_and_says_the_word():
    frames, caption, labels = sepia_word.clip(3, 4, frames=2)
    again = sepia_word.clip(3, 4, frames=2)
    assert np.array_equal(frames, again[0]) and caption == again[1] and labels == again[2]
    assert frames.shape == (2, 64, 64, 3) and caption.endswith("in sepia style")
    assert cartoon.unknown_words(caption) == [sepia_word.WORD]
    assert cartoon.parse(caption.removesuffix(" in sepia style")) == labels
    assert not np.array_equal(frames, sepia_word.clip(3, 5, frames=2)[0])


def test_clips_to_learn_from_leave_out_what_training_leaves_out():
    assert not any(cartoon.is_held_out(sepia_word.clip(2, i, frames=1)[2]) for i in range(40))
