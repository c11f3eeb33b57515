"""Videos broken on purpose, each in one known way, to see which measures notice it.

Each function takes a video uint8 [f h w 3] and returns a new one of the same shape; `wrong_subject` draws its own. The
result depends on the arguments alone. BREAKS names the functions that need only a video.
"""

from collections.abc import Callable

import cv2
import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.core import checking


def shuffled(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same frames uint8 [f h w 3] in another order, drawn from `seed`: no frame has the same predecessor.

    A clip of two or three frames is reversed. ValueError: frames, fewer than two of them, a seed below 0.
    """
    checking.whole("seed", seed, 0)
    frames, rng = _checked(frames), np.random.default_rng(seed)
    order = np.arange(len(frames))
    if len(frames) < 4:
        return frames[::-1].copy()
    while (np.diff(order) == 1).any():
        order = rng.permutation(len(frames))
    return frames[order]


def frozen(frames: np.ndarray) -> np.ndarray:
    """A video uint8 [f h w 3] that freezes halfway. ValueError: frames, only one."""
    frames = _checked(frames)
    half = len(frames) // 2
    return frames[np.minimum(np.arange(len(frames)), half - 1)]


def reversed_time(frames: np.ndarray) -> np.ndarray:
    """A video uint8 [f h w 3] played backwards. ValueError: frames, fewer than two of them."""
    return _checked(frames)[::-1].copy()


def first_repeated(frames: np.ndarray) -> np.ndarray:
    """A video uint8 [f h w 3] in which every frame is the first one. ValueError: frames, only one."""
    frames = _checked(frames)
    return frames[np.zeros(len(frames), int)]


def noisy(frames: np.ndarray, seed: int = 0, spread: float = 25.0) -> np.ndarray:
    """A video uint8 [f h w 3] with normal noise added, of standard deviation `spread` in grey levels of 255.

    ValueError: frames, fewer than two of them, a seed below 0, a spread below 0.1.
    """
    frames, spread = _checked(frames), checking.number("spread", spread, least=0.1)
    checking.whole("seed", seed, 0)
    noise = np.random.default_rng(seed).normal(0, spread, frames.shape)
    return (frames + noise).round().clip(0, 255).astype(np.uint8)


def blurred(frames: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """A video uint8 [f h w 3] under a Gaussian blur of sigma pixels.

    ValueError: frames, fewer than two of them, a sigma below 0.1.
    """
    frames, sigma = _checked(frames), checking.number("sigma", sigma, least=0.1)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def wrong_subject(labels: cartoon.Labels, seed: int, frames: int = 16) -> np.ndarray:
    """A drawing uint8 [f 64 64 3] that differs from `cartoon.render(labels, seed, frames)` in its subject alone.

    It is the next subject of the grammar that can do the same action. ValueError: labels, a seed below 0, no frames.
    """
    checking.kind("labels", labels, cartoon.Labels, "cartoon.Labels, as in item.labels")
    checking.whole("seed", seed, 0)
    checking.whole("frames", frames)
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
    return checking.frames(frames, least=2)
