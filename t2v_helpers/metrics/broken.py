"""Videos broken on purpose, each in one known way: a measure is only worth what it notices of them.

Each function takes a video uint8 [f h w 3] and gives a new one of the same shape; `wrong_subject` draws its own. The
same arguments always break in the same way. BREAKS names those that need nothing but a video.
"""

from collections.abc import Callable

import cv2
import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.core.video import check_frames
from t2v_helpers.metrics.intervals import check_whole


def shuffled(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same frames uint8 [f h w 3] in another order, drawn from `seed`: no frame follows the one it followed.

    A clip of two or three frames can only be turned round. ValueError: frames, fewer than two of them, a seed below 0.
    """
    check_whole("seed", seed, 0)
    frames, rng = _checked(frames), np.random.default_rng(seed)
    order = np.arange(len(frames))
    if len(frames) < 4:
        return frames[::-1].copy()
    while (np.diff(order) == 1).any():
        order = rng.permutation(len(frames))
    return frames[order]


def frozen(frames: np.ndarray) -> np.ndarray:
    """A video uint8 [f h w 3] that stops halfway: from there on it shows one frame. ValueError: frames, only one."""
    frames = _checked(frames)
    half = len(frames) // 2
    return frames[np.minimum(np.arange(len(frames)), half - 1)]


def reversed_time(frames: np.ndarray) -> np.ndarray:
    """A video uint8 [f h w 3] from its end to its beginning. ValueError: frames, fewer than two of them."""
    return _checked(frames)[::-1].copy()


def first_repeated(frames: np.ndarray) -> np.ndarray:
    """The first frame of a video uint8 [f h w 3], as often as the video has frames. ValueError: frames, only one."""
    frames = _checked(frames)
    return frames[np.zeros(len(frames), int)]


def noisy(frames: np.ndarray, seed: int = 0, spread: float = 25.0) -> np.ndarray:
    """A video uint8 [f h w 3] with fresh normal noise on every value, of so many grey levels (of 255).

    ValueError: frames, fewer than two of them, a seed below 0, a spread that is not above 0.
    """
    frames, spread = _checked(frames), _above_zero("spread", spread, "grey levels")
    check_whole("seed", seed, 0)
    noise = np.random.default_rng(seed).normal(0, spread, frames.shape)
    return (frames + noise).round().clip(0, 255).astype(np.uint8)


def blurred(frames: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Each frame of a video uint8 [f h w 3] under a Gaussian blur of sigma pixels.

    ValueError: frames, fewer than two of them, a sigma that is not above 0.
    """
    frames, sigma = _checked(frames), _above_zero("sigma", sigma, "pixels")
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def wrong_subject(labels: cartoon.Labels, seed: int, frames: int = 16) -> np.ndarray:
    """A drawing uint8 [f 64 64 3] that differs from `cartoon.render(labels, seed, frames)` in its subject alone.

    The subject is the next one of the grammar that can do the same. ValueError: labels, a seed below 0, no frames.
    """
    if not isinstance(labels, cartoon.Labels):
        raise ValueError(f"labels is a {type(labels).__name__}: give cartoon.Labels, as in item.labels.")
    check_whole("seed", seed, 0)
    check_whole("frames", frames, 1)
    known = cartoon.RIDERS if labels.action == "riding a horse" else cartoon.SUBJECTS
    other = known[(known.index(labels.subject) + 1) % len(known)]
    return cartoon.render(cartoon.Labels(other, labels.action, labels.place, labels.style), seed, frames)[0]


BREAKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shuffled": shuffled,
    "frozen halfway": frozen,
    "reversed": reversed_time,
    "first frame repeated": first_repeated,
    "noise": noisy,
    "blurred": blurred,
}


def _checked(frames: np.ndarray) -> np.ndarray:
    if len(frames := check_frames(frames)) < 2:
        raise ValueError("the clip has 1 frame, but 2 are needed: one frame has no order to break.")
    return frames


def _above_zero(name: str, value: float, unit: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"{name}={value!r} is not allowed: give a number of {unit} above 0.")
    return float(value)
