"""How far a model's videos are from drawings of the same sentences, as whole sets: Frechet distance with its floor.

Drawings of the same sentences are not alike either: phase, place and size differ from one to the next. So two sets of
them are some way apart, and no model need be nearer: that distance is the floor. Both distances shrink with the number
of videos, so they compare only with numbers counted on as many.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.measures import Measure
from t2v_helpers.metrics.frechet import features, frechet_distance
from t2v_helpers.metrics.intervals import check_whole
from t2v_helpers.metrics.judged import LABELS, check_labels

ALL = "all"
PARTS = 20  # groups of videos that are left out in turn, for the interval
FEWEST = 8  # videos of a word, from which on its distance is told


@dataclass(frozen=True)
class Gap:
    """The Frechet distance of videos to drawings, and the floor: that of other drawings to these, as many."""

    distance: Measure
    floor: Measure


def drawings(asked: Sequence[cartoon.Labels], seed: int, frames: int = 16) -> np.ndarray:
    """Drawings of these labels, number i from `seed` + i: uint8 [b f 64 64 3]. ValueError: labels, whole numbers."""
    check_whole("seed", seed, 0)
    check_whole("frames", frames, 1)
    if not (asked := check_labels("asked", asked)):
        raise ValueError("asked is empty: give the labels of at least one video.")
    return np.stack([cartoon.render(labels, seed + i, frames)[0] for i, labels in enumerate(asked)])


def frechet_to_drawings(videos: np.ndarray, asked: Sequence[cartoon.Labels], seed: int = 0) -> dict[str, Gap]:
    """Frechet distances of videos uint8 [b f 64 64 3] to drawings of their labels `asked`, in the judge's features.

    By "all", and by label and word ("subject/dog") where at least FEWEST videos were asked for it. 0 or more, no unit,
    lower is nearer; Heusel et al. 2017, arXiv 1706.08500. `seed` and the numbers after it draw the drawings.
    ValueError: other arrays, not as many labels, fewer than two.
    """
    found = features(videos)  # [b d]
    asked = check_labels("asked", asked)
    if len(asked) != len(videos) or len(asked) < 2:
        raise ValueError(f"{len(videos)} videos and {len(asked)} labels were given; give as many of each, at least 2.")
    drawn, others = (features(drawings(asked, s, videos.shape[1])) for s in (seed, seed + len(asked)))
    return {
        name: Gap(_measured(found[chosen], drawn[chosen]), _measured(others[chosen], drawn[chosen]))
        for name, chosen in _groups(asked).items()
    }


def _groups(asked: Sequence[cartoon.Labels]) -> dict[str, np.ndarray]:
    """The numbers of all videos, and of those that each word was asked of."""
    groups = {ALL: np.arange(len(asked))}
    for label in LABELS:
        words = np.array([getattr(x, label) for x in asked])
        groups |= {f"{label}/{word}": np.flatnonzero(words == word) for word in sorted(set(words))}
    return {name: chosen for name, chosen in groups.items() if name == ALL or len(chosen) >= FEWEST}


def _measured(a: np.ndarray, b: np.ndarray) -> Measure:
    """The distance of features [n d] and [n d], with an interval from the jackknife: some left out of both in turn."""
    value, n = frechet_distance(a, b), len(a)
    parts = [np.arange(n) % PARTS != i for i in range(PARTS)] if n >= 2 * PARTS else []
    if not parts:
        return Measure(value, 0.0, float("inf"), n)
    left_out = np.array([frechet_distance(a[keep], b[keep]) for keep in parts])
    half = 1.96 * float(np.sqrt((PARTS - 1) * left_out.var()))
    return Measure(value, max(0.0, value - half), value + half, n)
