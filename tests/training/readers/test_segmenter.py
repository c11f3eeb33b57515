"""The training of the segmenter: what its batches hold, an exact resume, weights with their accuracy."""

import json

import cv2
import numpy as np
import pytest
import torch

from t2v_helpers import metrics
from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.core import tensors
from t2v_helpers.training import loop
from t2v_helpers.training.readers import segmenter

TOY = segmenter.SegmenterSettings(steps=4, batch=3)


def test_a_batch_follows_from_seed_and_step_alone():
    (x, mask), again, other = (segmenter.SegmenterTask(TOY).batch(k) for k in (2, 2, 3))
    assert torch.equal(x, again[0]) and torch.equal(mask, again[1]) and not torch.equal(x, other[0])
    assert x.shape == (3, 3, 64, 64) and mask.shape == (3, 64, 64)
    assert -1 <= x.min() and x.max() <= 1 and mask.min() == 0 and 0.9 < mask.max() <= 1


def test_a_moved_piece_is_the_same_in_picture_and_mask():
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 255
    frame = np.repeat(mask[..., None], 3, axis=2)
    moved = [segmenter.piece_moved(frame, mask, np.random.default_rng(k)) for k in range(20)]
    assert all(np.array_equal(new[..., 0], place) for new, place in moved)
    assert sum(not np.array_equal(place, mask) for _, place in moved) > 15
    assert np.array_equal(mask, frame[..., 0]) and mask.sum() == 400 * 255  # what was given stays


def test_an_empty_mask_can_be_moved_too():
    _, mask = segmenter.piece_moved(*(np.zeros(s, np.uint8) for s in ((64, 64, 3), (64, 64))), np.random.default_rng(0))
    assert not mask.any()


def test_a_bent_drawing_moves_with_its_mask_and_stays_whole():
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 20:44] = 255
    frame = np.repeat(mask[..., None], 3, axis=2)
    made = [segmenter.bent(frame, mask, np.random.default_rng(k)) for k in range(20)]
    assert all(np.array_equal(new[..., 0], place) and not np.array_equal(place, mask) for new, place in made)
    assert all(len(metrics.pieces(place > 127)) == 1 for _, place in made)
    far = cv2.dilate(mask, np.ones((11, 11), np.uint8)) == 0
    assert not any(place[far].any() for _, place in made)


def test_killed_and_started_again_ends_with_the_same_weights(tmp_path):
    list(loop.train(segmenter.SegmenterTask(TOY), tmp_path / "whole", save_every=2))
    for step in loop.train(segmenter.SegmenterTask(TOY), tmp_path / "killed", save_every=2):
        if step.index == 3:
            break
    assert [s.index for s in loop.train(segmenter.SegmenterTask(TOY), tmp_path / "killed", save_every=2)] == [3, 4]
    a, b = (loop.averaged(segmenter.SegmenterTask(TOY), tmp_path / x).state_dict() for x in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_learns(tmp_path):
    task = segmenter.SegmenterTask(segmenter.SegmenterSettings(steps=30, batch=8, warm_up=3))
    losses = [step.loss for step in loop.train(task, tmp_path)]
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


def test_weights_are_written_with_their_accuracy(tmp_path):
    path = tmp_path / "segmenter.safetensors"
    found = segmenter.export(segmenters.Segmenter().eval(), TOY, 4, path)
    assert json.loads(tensors.about(path)["accuracy"]) == found
    assert set(found) == set(metrics.DISTURBANCES) and found["none"]["n"] == 4 and 0 <= found["none"]["value"] < 0.9


def test_intersection_over_union_is_counted_by_hand():
    a, b = torch.zeros(3, 4, 4, dtype=torch.bool), torch.zeros(3, 4, 4, dtype=torch.bool)
    a[0, :2], b[0, 1:3] = True, True  # 4 of 12 pixels
    a[1] = True  # nothing of all
    assert segmenter._iou(a, b).tolist() == pytest.approx([1 / 3, 0, 1])


@pytest.mark.parametrize(
    "wrong, why",
    [
        ({"steps": 0}, "steps=0"),
        ({"batch": 0}, "batch=0"),
        ({"moved": 1.5}, "moved=1.5"),
        ({"bent": -0.1}, "bent=-0.1"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        segmenter.SegmenterSettings(**wrong)
