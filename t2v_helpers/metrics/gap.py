"""How far a set of videos is from drawings of the same sentences: the Fréchet distance, and its floor.

Drawings of the same sentences differ among themselves in phase, place and size. The distance between two such sets is
the floor: no model need come closer. Both distances shrink as the number of videos grows, so compare only numbers that
were measured on equally many.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.core import checking
from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.metrics.frechet import features, frechet_distance
from t2v_helpers.metrics.label_adherence import LABELS, check_labels

ALL = "all"
PARTS = 20  # groups of videos that the jackknife leaves out in turn
FEWEST = 8  # videos of a word for which its distance is reported


@dataclass(frozen=True)
class Gap:
    """The Fréchet distance of videos to drawings, and the floor: that of equally many other drawings to these."""

    distance: Measure
    floor: Measure


def drawings(asked: Sequence[cartoon.Labels], seed: int, frames: int = 16) -> np.ndarray:
    """Drawings of these labels, number i from `seed` + i: uint8 [b f 64 64 3]. ValueError: not labels, no labels."""
    checking.whole("seed", seed, 0)
    checking.whole("frames", frames)
    if not (asked := check_labels("asked", asked)):
        raise ValueError("asked is empty: use the labels of at least one video.")
    return np.stack([cartoon.render(labels, seed + i, frames)[0] for i, labels in enumerate(asked)])


def frechet_to_drawings(videos: np.ndarray, asked: Sequence[cartoon.Labels], seed: int = 0) -> dict[str, Gap]:
    """Fréchet distances of videos uint8 [b f 64 64 3] to drawings of their labels `asked`, in the judge's features.

    For "all", and for each word ("subject/dog") that was asked of at least FEWEST videos. 0 or more, no unit, lower is
    closer; Heusel et al. 2017, arXiv 1706.08500, equation 6. `seed` and the numbers after it determine the drawings.
    ValueError: other arrays, not as many labels, fewer than two.
    """
    found = features(videos)  # [b d]
    asked = check_labels("asked", asked)
    if len(asked) != len(videos) or len(asked) < 2:
        raise ValueError(f"there are {len(videos)} videos and {len(asked)} labels: use as many of each, at least 2.")
    drawn, others = (features(drawings(asked, s, videos.shape[1])) for s in (seed, seed + len(asked)))
    return {
        name: Gap(_measured(found[chosen], drawn[chosen]), _measured(others[chosen], drawn[chosen]))
        for name, chosen in _groups(asked).items()
    }


def _groups(asked: Sequence[cartoon.Labels]) -> dict[str, np.ndarray]:
    """The indices of all videos, and of those of each word."""
    groups = {ALL: np.arange(len(asked))}
    for label in LABELS:
        words = np.array([getattr(x, label) for x in asked])
        groups |= {f"{label}/{word}": np.flatnonzero(words == word) for word in sorted(set(words))}
    return {name: chosen for name, chosen in groups.items() if name == ALL or len(chosen) >= FEWEST}


def _measured(a: np.ndarray, b: np.ndarray) -> Measure:
    """The distance of features [n d] and [n d], with the interval of a jackknife that leaves out groups of both."""
    value, n = frechet_distance(a, b), len(a)
    if n < 2 * PARTS:
        return Measure(value, 0.0, float("inf"), n)
    kept = [np.arange(n) % PARTS != i for i in range(PARTS)]
    left_out = np.array([frechet_distance(a[keep], b[keep]) for keep in kept])
    half = 1.96 * float(np.sqrt((PARTS - 1) * left_out.var()))
    return Measure(value, max(0.0, value - half), value + half, n)
