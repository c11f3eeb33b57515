"""The measures: counted by hand, held against scipy and OpenCV, and tried on renders whose labels are known."""

import json

import cv2
import numpy as np
import pytest

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import Labels

A = Labels("dog", "dancing", "lake", "van gogh")
B = Labels("cat", "sleeping", "moon", "plain")
MIXED = Labels("dog", "sleeping", "lake", "plain")


@pytest.fixture(scope="module")
def items() -> list[cartoon.Item]:
    return [cartoon.item(88_001, i, split="all") for i in range(120)]


def test_adherence_counts_each_label_and_all_four():
    counted = metrics.adherence([A, B, MIXED], [A, B, A], {})
    assert {name: counted[name].k for name in (*metrics.LABELS, "all four")} == {
        "subject": 3, "action": 2, "place": 3, "style": 2, "all four": 2,
    }  # fmt: skip
    assert counted["action"].n == 3


def test_adherence_prints_the_judge_beside_the_score():
    text = str(metrics.adherence([A, B], [A, A], {"subject": 0.994}))
    assert "1/2" in text and "50.0 %" in text and "99.4%" in text and "not measured" in text


def test_adherence_goes_to_json():
    found = json.loads(json.dumps(metrics.adherence([A, B], [A, A], {"subject": 0.99}).to_dict()))
    assert found["subject"] == {"k": 1, "n": 2, "share": 0.5, "interval": list(metrics.wilson(1, 2)), "judge": 0.99}


def test_the_shipped_judge_says_how_good_it_is():
    own = metrics.adherence([A], [A]).judge
    assert set(metrics.LABELS) <= set(own) and min(own[name] for name in metrics.LABELS) >= 0.99


def test_the_judges_share_is_its_accuracy_with_its_count():
    share, accuracy = metrics.judge_share(), metrics.judge_about()["all four"]
    assert share.n >= 1000 and share.share == accuracy and share.interval[0] < accuracy


@pytest.mark.parametrize("seen, asked, match", [([A], [A, B], "1 videos were read and 2"), ([], [], "0 videos")])
def test_adherence_needs_as_many_of_each(seen, asked, match):
    with pytest.raises(ValueError, match=match):
        metrics.adherence(seen, asked)


@pytest.mark.parametrize("n", [2, 3, 50])
def test_shuffled_gives_everybody_anothers_labels(n):
    asked = cartoon.combinations()[:n]
    mixed = metrics.shuffled(asked, seed=3)
    assert sorted(map(str, mixed)) == sorted(map(str, asked))
    assert not any(a == b for a, b in zip(asked, mixed, strict=True))


def test_reading_does_not_depend_on_the_batch(items):
    videos = np.stack([item.frames for item in items[:7]])
    alone = [metrics.read(video[None])[0] for video in videos]
    assert alone == metrics.read(videos) == [item.labels for item in items[:7]]


@pytest.mark.parametrize(
    "videos, match",
    [
        (np.zeros((2, 16, 64, 64, 3), np.float32), r"videos are float32 \[2, 16, 64, 64, 3\], but the judge"),
        (np.zeros((16, 64, 64, 3), np.uint8), r"videos are uint8 \[16, 64, 64, 3\]"),
        (np.zeros((1, 16, 32, 32, 3), np.uint8), r"videos are uint8 \[1, 16, 32, 32, 3\]"),
        (np.zeros((0, 16, 64, 64, 3), np.uint8), r"with b and f at least 1"),
        ([[1, 2]], "videos are list"),
    ],
)
def test_reading_refuses_what_is_no_video(videos, match):
    with pytest.raises(ValueError, match=match):
        metrics.read(videos)


def test_judge_accuracy_counts_all_renders():
    counted = metrics.judge_accuracy(33, seed=91)
    assert counted["place"].n == 33 and counted["place"].share >= 0.95


def test_an_unknown_disturbance_is_named():
    with pytest.raises(ValueError, match="disturbance='fog'"):
        metrics.judge_accuracy(4, 0, "fog")


@pytest.mark.parametrize("way, least, most", [("none", 0, 0), ("blur", 1, 20), ("noise", 5, 11), ("shift", 1, 60)])
def test_disturbances_are_small_and_keep_the_shape(items, way, least, most):
    videos = np.stack([item.frames for item in items[:4]])
    changed = metrics.disturbed(videos, way)
    assert changed.shape == videos.shape and changed.dtype == np.uint8
    assert least <= np.abs(changed.astype(int) - videos).mean() <= most


def test_psnr_of_a_known_difference():
    a = np.full((2, 8, 8, 3), 100, np.uint8)
    assert metrics.psnr(a, a + 5) == pytest.approx(20 * np.log10(255 / 5))
    assert metrics.psnr(a, a) == float("inf")


def test_psnr_needs_one_shape():
    with pytest.raises(ValueError, match=r"the arrays are \(2, 3\) and \(3, 2\)"):
        metrics.psnr(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


def test_sharpness_is_opencvs_laplacian(items):
    frame = items[0].frames[:1]
    wanted = cv2.Laplacian(cv2.cvtColor(frame[0], cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
    assert metrics.sharpness(frame) == pytest.approx(wanted, rel=1e-5)


def test_sharpness_falls_with_blur_and_looks_only_under_the_mask(items):
    item = items[0]
    soft = np.stack([cv2.GaussianBlur(f, (0, 0), 1.0) for f in item.frames])
    assert metrics.sharpness(soft, item.mask) < 0.5 * metrics.sharpness(item.frames, item.mask)
    outside = np.where(item.mask[..., None] > 0, item.frames, 0)
    inside = cv2.erode(item.mask.transpose(1, 2, 0), np.ones((3, 3))).transpose(2, 0, 1)
    assert metrics.sharpness(outside, inside) == pytest.approx(metrics.sharpness(item.frames, inside))


@pytest.mark.parametrize("mask", [np.zeros((16, 64, 64), bool), np.ones((15, 64, 64), bool)])
def test_sharpness_needs_a_mask_that_fits(items, mask):
    with pytest.raises(ValueError, match=r"mask .* \(16, 64, 64\)"):
        metrics.sharpness(items[0].frames, mask)


@pytest.mark.parametrize("action", cartoon.ACTIONS)
def test_the_usual_region_lies_on_the_subject_of_fresh_renders(action):
    region = metrics.usual_region("monkey", action)
    masks = [cartoon.render(Labels("monkey", action), seed)[1] > 127 for seed in range(5_000, 5_006)]
    covered = np.mean([mask[region].mean() for mask in masks])
    assert region.shape == (16, 64, 64) and region.any(axis=(1, 2)).all() and covered > 0.6


def test_flicker_is_the_change_of_what_stands_still():
    still = np.full((5, 8, 12, 3), 100, np.uint8)
    moving, noisy = still.copy(), still.copy()
    moving[np.arange(5), :, np.arange(5)] = 255  # a bar that walks: less than half of the pixels ever change
    noisy[1::2] += 51
    assert metrics.flicker(still) == metrics.flicker(moving) == 0
    assert metrics.flicker(noisy) == pytest.approx(0.2)


def test_one_frame_cannot_flicker():
    with pytest.raises(ValueError, match="1 frames"):
        metrics.flicker(np.zeros((1, 8, 8, 3), np.uint8))


@pytest.mark.parametrize("other", [None, A, ["a dog is dancing"], (x for x in [A])])
def test_only_lists_of_labels_are_counted(other):
    for count in (lambda: metrics.adherence([A], other), lambda: metrics.shuffled(other)):
        with pytest.raises(ValueError, match=r"asked(\[0\])? is of type"):
            count()
    with pytest.raises(ValueError, match=r"seen(\[0\])? is of type"):
        metrics.adherence(other, [A])


@pytest.mark.parametrize("few", [[], [A]])
def test_one_video_cannot_change_places(few):
    with pytest.raises(ValueError, match=f"labels of {len(few)} video"):
        metrics.shuffled(few)
    with pytest.raises(ValueError, match="seed=-1"):
        metrics.shuffled([A, B], seed=-1)


@pytest.mark.parametrize(
    ("given", "word"),
    [((0, 1), "n=0"), ((2.5, 1), "n=2.5"), ((2, -1), "seed=-1"), ((2, 1, "none", None, 0), "frames=0")],
)
def test_the_judge_is_tried_on_whole_numbers(given, word):
    with pytest.raises(ValueError, match=word):
        metrics.judge_accuracy(*given)
