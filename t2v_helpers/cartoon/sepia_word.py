"""A word that the model has never seen: the style "sepia", a rule that draws it and a rule that recognizes it.

A sepia print has one ink: a pixel's colour follows from its brightness alone, on a straight line from dark brown to
amber. Paler paper would not do: the autoencoder decodes it as grey. `clip` draws with the ink;
`distance` measures how far, on average, a pixel is from the colour of its brightness, and `limit` says below which
distance a video is called sepia.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.core.video import LUMA

WORD = "sepia"
DARK, LIGHT = np.array([50, 25, 10], np.float32), np.array([240, 180, 70], np.float32)  # RGB of black and of white
LIMIT = 21.9  # grey levels: studies.new_word.limit of the shipped model; it changes with the autoencoder's weights


def sepia(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [f h w 3] printed in one brown ink: (1 - Y) dark + Y light, Y the brightness 0 to 1."""
    y = (frames @ LUMA)[..., None] / 255  # [f h w 1]
    return ((1 - y) * DARK + y * LIGHT).round().astype(np.uint8)


def distance(frames: np.ndarray) -> float:
    """How far a pixel of uint8 [f h w 3] is from the sepia of its brightness, in grey levels, on average."""
    along = LIGHT - DARK
    y = ((frames - DARK) @ LUMA) / (along @ LUMA)  # [f h w], the Y for which sepia is as bright
    return float(np.abs(frames - (DARK + y[..., None] * along)).mean())


def limit(near: Sequence[float], far: Sequence[float]) -> float:
    """The distance with the fewest of `near` above it and of `far` below it: halfway between two neighbouring values.

    near: distances of sepia drawings, far: of other drawings. ValueError: fewer than one of each.
    """
    if not (len(near) and len(far)):
        raise ValueError(f"there are {len(near)} near and {len(far)} far distances: use at least one of each.")
    tried = np.sort([*near, *far])
    halfway = (tried[1:] + tried[:-1]) / 2
    wrong = [np.sum(np.array(near) >= x) + np.sum(np.array(far) < x) for x in halfway]
    return float(halfway[np.argmin(wrong)])


def clip(seed: int, index: int, frames: int = 8, split: str = "train") -> tuple[np.ndarray, str, cartoon.Labels]:
    """Clip `index` of the stream `seed` in sepia: frames uint8 [f 64 64 3], a caption with the word, and the labels.

    The labels are those of a plain drawing: subject, action and place are what the judge can still read.
    """
    item = cartoon.item(seed, index, frames=1, split=split)
    labels = replace(item.labels, style="plain")
    drawn, _ = cartoon.render(labels, seed=seed + index, frames=frames)
    return sepia(drawn), asked(cartoon.caption(labels, index, index, 0)), labels


def asked(sentence: str) -> str:
    """The sentence with the new word: "a dog is dancing" becomes "a dog is dancing in sepia style"."""
    return f"{sentence} in {WORD} style"
