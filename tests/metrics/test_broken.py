"""Videos broken on purpose: each in its own way, and no other."""

import numpy as np
import pytest

from t2v_helpers import cartoon
from t2v_helpers.metrics import broken

LABELS = cartoon.Labels("dog", "walking left", "beach", "plain")
CLIP = cartoon.render(LABELS, 3, frames=8)[0]


def numbered(f: int) -> np.ndarray:
    """A clip whose k-th frame is k everywhere: uint8 [f 4 6 3]."""
    return np.broadcast_to(np.arange(f, dtype=np.uint8)[:, None, None, None], (f, 4, 6, 3))


def order(frames: np.ndarray) -> list[int]:
    return frames[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("name", broken.BREAKS)
@pytest.mark.parametrize("f", [2, 3, 8])
def test_a_broken_clip_has_the_same_shape_is_another_one_and_always_the_same(name, f):
    before = CLIP[:f].copy()
    made = broken.BREAKS[name](before)
    assert made.shape == before.shape and made.dtype == np.uint8
    assert not np.array_equal(made, before) and np.array_equal(before, CLIP[:f])
    assert np.array_equal(made, broken.BREAKS[name](before))


@pytest.mark.parametrize("f", [2, 3, 4, 5, 16])
def test_shuffled_keeps_every_frame_and_no_neighbour(f):
    found = order(broken.shuffled(numbered(f), seed=f))
    assert sorted(found) == list(range(f)) and (np.diff(found) != 1).all()


def test_another_seed_shuffles_and_spoils_in_another_way():
    assert order(broken.shuffled(numbered(16), 0)) != order(broken.shuffled(numbered(16), 1))
    assert not np.array_equal(broken.noisy(CLIP, 0), broken.noisy(CLIP, 1))


def test_what_stops_what_turns_round_and_what_repeats():
    assert order(broken.frozen(numbered(6))) == [0, 1, 2, 2, 2, 2]
    assert order(broken.reversed_time(numbered(4))) == [3, 2, 1, 0]
    assert order(broken.first_repeated(numbered(4))) == [0, 0, 0, 0]


def test_noise_has_its_spread():
    grey = np.full((4, 64, 64, 3), 128, np.uint8)
    assert broken.noisy(grey).std() == pytest.approx(25, rel=0.02)
    assert broken.noisy(grey).mean() == pytest.approx(128, abs=0.5)


def test_a_blur_spreads_a_line_by_two_pixels_and_keeps_its_light():
    line = np.zeros((2, 33, 33, 3), np.uint8)
    line[:, :, 16] = 255
    made = broken.blurred(line)[0, 16, :, 0].astype(float)
    bell = 255 / (2 * np.sqrt(2 * np.pi)) * np.exp(-((np.arange(33) - 16) ** 2) / (2 * 2**2))
    assert made == pytest.approx(bell, abs=1.5) and made.sum() == pytest.approx(255, rel=0.02)


def test_the_wrong_subject_does_the_same_in_the_same_place():
    made = broken.wrong_subject(LABELS, 3, frames=8)
    assert np.array_equal(made, cartoon.render(cartoon.Labels("cat", "walking left", "beach", "plain"), 3, 8)[0])
    away = ~(cartoon.render(LABELS, 3, 8)[1].any(0) | (made != CLIP).any((0, 3)))
    assert away.any() and np.array_equal(made[:, away], CLIP[:, away])


def test_only_riders_ride():
    duck = cartoon.Labels("duck", "riding a horse")
    robot = cartoon.render(cartoon.Labels("robot", "riding a horse"), 1, 2)[0]
    assert np.array_equal(broken.wrong_subject(duck, 1, 2), robot)


# --- bad input


@pytest.mark.parametrize("name", broken.BREAKS)
def test_what_is_no_clip_is_refused(name):
    with pytest.raises(ValueError, match="1 frames"):
        broken.BREAKS[name](CLIP[:1])
    with pytest.raises(ValueError, match=r"uint8 \[f h w 3\]"):
        broken.BREAKS[name](CLIP / 255)
    with pytest.raises(ValueError, match=r"uint8 \[f h w 3\]"):
        broken.BREAKS[name]([])


@pytest.mark.parametrize("seed", [-1, 0.5, True, None])
@pytest.mark.parametrize("break_it", [broken.shuffled, broken.noisy])
def test_seeds_are_whole_numbers(break_it, seed):
    with pytest.raises(ValueError, match=f"seed={seed!r}"):
        break_it(CLIP, seed=seed)


def test_a_subject_needs_labels():
    with pytest.raises(ValueError, match="labels is of type str"):
        broken.wrong_subject("a dog", 0)
    for given, word in (((LABELS, 0.5), "seed=0.5"), ((LABELS, -1), "seed=-1"), ((LABELS, 1, 0), "frames=0")):
        with pytest.raises(ValueError, match=word):
            broken.wrong_subject(*given)


def test_a_way_is_found_by_its_name():
    for name, function in broken.BREAKS.items():
        assert np.array_equal(broken.by_name(name, CLIP, LABELS), function(CLIP))
    assert np.array_equal(broken.by_name("noise", CLIP, LABELS, seed=2), broken.noisy(CLIP, 2))
    assert np.array_equal(broken.by_name("wrong subject", CLIP, LABELS, 3), broken.wrong_subject(LABELS, 3, 8))
    with pytest.raises(ValueError, match="name='torn' .*shuffled"):
        broken.by_name("torn", CLIP, LABELS)
