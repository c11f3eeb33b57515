"""Wholeness: pieces counted by hand, and drawings broken on purpose."""

import numpy as np
import pytest
import torch

from t2v_helpers import cartoon, metrics

CAT = cartoon.Labels("cat", "jumping", "moon")


class Seer(torch.nn.Module):
    """Replaces the segmenter: marks what is brighter than grey, so that a test can draw what is seen."""

    def forward(self, x):
        return x.mean(dim=1)


def video(*boxes: tuple[slice, slice], frames: int = 3) -> np.ndarray:
    """A black video uint8 [1 f 64 64 3] with white boxes."""
    clip = np.zeros((1, frames, 64, 64, 3), np.uint8)
    for box in boxes:
        clip[(slice(None), slice(None), *box)] = 255
    return clip


def square(y: int, x: int, side: int) -> tuple[slice, slice]:
    return slice(y, y + side), slice(x, x + side)


def usual_square() -> int:
    """The side of a square as large as a jumping cat."""
    low, high = metrics.usual_size("cat", "jumping")
    return int(((low + high) / 2) ** 0.5)


def test_pieces_are_counted_by_size():
    mask = np.zeros((64, 64), bool)
    for box in (square(2, 2, 5), square(20, 20, 9), square(50, 50, 2)):
        mask[box] = True
    assert metrics.pieces(mask) == [81, 25]  # the square of 4 pixels is a speck


@pytest.mark.parametrize("gap, pieces", [(0, 1), (1, 1), (2, 1), (3, 2)])
def test_an_outline_does_not_split_a_subject(gap, pieces):
    mask = np.zeros((64, 64), bool)
    mask[10:20, 10:20] = mask[10:20, 20 + gap : 30 + gap] = True
    assert len(metrics.pieces(mask)) == pieces


def test_one_piece_of_a_usual_size_is_whole():
    found = metrics.wholeness(video(square(10, 10, usual_square())), [CAT], Seer())
    assert (found.share.k, found.broken.k, found.odd_sized.k) == (1, 0, 0)


def test_a_head_apart_is_broken():
    found = metrics.wholeness(video(square(10, 10, usual_square()), square(55, 55, 5)), [CAT], Seer())
    assert (found.share.k, found.broken.k, found.odd_sized.k) == (0, 1, 0)


def test_a_broken_frame_is_enough():
    clip = video(square(10, 10, usual_square()))
    clip[0, 1, 55:60, 55:60] = 255
    assert metrics.wholeness(clip, [CAT], Seer()).broken.k == 1


@pytest.mark.parametrize("side", [0, 8, 64])
def test_no_subject_and_one_too_small_or_too_large_are_odd_sized(side):
    found = metrics.wholeness(video(square(0, 0, side)), [CAT], Seer())
    assert (found.share.k, found.broken.k, found.odd_sized.k) == (0, 0, 1)


def test_the_usual_size_is_that_of_drawings():
    low, high = metrics.usual_size("cat", "jumping")
    sizes = [(mask > 127).sum() for seed in range(20, 30) for mask in cartoon.render(CAT, seed)[1]]
    assert low < min(sizes) and max(sizes) < high < 3 * low


def test_a_sleepers_letter_is_not_the_subject():
    frames, masks = cartoon.render(cartoon.Labels("dog", "sleeping", "beach"), 3)
    assert all(len(metrics.pieces(mask > 127)) == 1 for mask in masks)
    letter = (frames == 255).all(axis=-1)  # the only pure white in the picture
    assert letter.any() and not masks[letter].any()


def test_the_shares_are_ready_for_json():
    found = metrics.Wholeness(*(metrics.Share(k, 10) for k in (6, 3, 1))).to_dict()
    assert {name: share["k"] for name, share in found.items()} == {"share": 6, "broken": 3, "odd_sized": 1}


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="1 videos and 2 labels"):
        metrics.wholeness(video(), [CAT, CAT], Seer())
    with pytest.raises(ValueError, match="videos are float64"):
        metrics.wholeness(np.zeros((1, 2, 64, 64, 3)), [CAT], Seer())
    with pytest.raises(ValueError, match=r"bool array \[h w\]"):
        metrics.pieces(np.zeros((4, 4), np.uint8))
