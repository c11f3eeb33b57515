"""Videos broken on purpose, each in one known way, to see which measures notice it.

Each function takes a video uint8 [f h w 3] and returns a new one of the same shape; `wrong_subject` draws its own. The
result depends on the arguments alone. BREAKS names the functions that need only a video.
"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.core import checking

SPREAD, SIGMA = 25.0, 2.0  # of the noise, in grey levels of 255; of the blur, in pixels


def shuffled(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same frames uint8 [f h w 3] in another order, drawn from `seed`: no frame has the same predecessor.

    A clip of two or three frames is reversed. ValueError: frames, fewer than two of them, a seed below 0.
    """
    checking.whole("seed", seed, 0)
    frames, rng = checking.frames(frames, least=2), np.random.default_rng(seed)
    if len(frames) < 4:
        return frames[::-1].copy()
    order = np.arange(len(frames))
    while (np.diff(order) == 1).any():
        order = rng.permutation(len(frames))
    return frames[order]


def frozen(frames: np.ndarray) -> np.ndarray:
    """A video uint8 [f h w 3] that freezes halfway. ValueError: frames, only one."""
    frames = checking.frames(frames, least=2)
    return frames[np.minimum(np.arange(len(frames)), len(frames) // 2 - 1)]


def reversed_time(frames: np.ndarray) -> np.ndarray:
    """A video uint8 [f h w 3] played backwards. ValueError: frames, fewer than two of them."""
    return checking.frames(frames, least=2)[::-1].copy()


def first_repeated(frames: np.ndarray) -> np.ndarray:
    """A video uint8 [f h w 3] in which every frame is the first one. ValueError: frames, only one."""
    frames = checking.frames(frames, least=2)
    return np.repeat(frames[:1], len(frames), axis=0)


def noisy(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """A video uint8 [f h w 3] with normal noise added, of standard deviation SPREAD.

    ValueError: frames, fewer than two of them, a seed below 0.
    """
    frames, seed = checking.frames(frames, least=2), checking.whole("seed", seed, 0)
    noise = np.random.default_rng(seed).normal(0, SPREAD, frames.shape)
    return (frames + noise).round().clip(0, 255).astype(np.uint8)


def blurred(frames: np.ndarray) -> np.ndarray:
    """A video uint8 [f h w 3] under a Gaussian blur of SIGMA pixels. ValueError: frames, fewer than two of them."""
    return np.stack([cv2.GaussianBlur(frame, (0, 0), SIGMA) for frame in checking.frames(frames, least=2)])


def wrong_subject(labels: cartoon.Labels, seed: int, frames: int = 16) -> np.ndarray:
    """A drawing uint8 [f 64 64 3] that differs from `cartoon.render(labels, seed, frames)` in its subject alone.

    It is the next subject of the grammar that can do the same action. ValueError: labels, a seed below 0, no frames.
    """
    checking.kind("labels", labels, cartoon.Labels, "cartoon.Labels, as in item.labels")
    known = cartoon.RIDERS if labels.action == "riding a horse" else cartoon.SUBJECTS
    other = known[(known.index(labels.subject) + 1) % len(known)]
    return cartoon.render(replace(labels, subject=other), seed, frames)[0]


BREAKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shuffled": shuffled,
    "frozen halfway": frozen,
    "reversed": reversed_time,
    "first frame repeated": first_repeated,
    "noise": noisy,
    "blurred": blurred,
}
WRONG_SUBJECT = "wrong subject"
_SEEDED = {"shuffled": shuffled, "noise": noisy}  # they draw


def by_name(name: str, frames: np.ndarray, labels: cartoon.Labels, seed: int = 0) -> np.ndarray:
    """The clip uint8 [f h w 3] that was drawn from `labels` and `seed`, broken in the way of that name.

    name: a key of BREAKS, or WRONG_SUBJECT, which is drawn anew. ValueError: another name, or see the functions above.
    """
    checking.one_of("name", name, (*BREAKS, WRONG_SUBJECT))
    if name == WRONG_SUBJECT:
        return wrong_subject(labels, seed, len(checking.frames(frames)))
    return _SEEDED[name](frames, seed) if name in _SEEDED else BREAKS[name](frames)
