"""The Fréchet distance of two sets of videos: whether the sets look alike, not whether each video is good.

Each video becomes a vector of features. The distance is that of two Gaussians, one fitted to each set (Heusel et al.
2017, arXiv 1706.08500, equation 6, for pictures; Unterthiner et al. 2018, arXiv 1812.01717, for videos). There the
features are those of I3D. Here they are those of the judge's last layer, 192 numbers a video, so the distances compare
only with distances by the same judge.

Small sets look farther apart than they are, since a fitted covariance is only an estimate. The bias falls roughly as
1/n with the number of videos (Chong and Forsyth 2020, arXiv 1911.07023); compare only sets of one size.

Videos are compared with drawings of the same sentences. Such drawings differ among themselves in phase, place and size:
the distance between two sets of them is the floor, and no model need come closer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from t2v_helpers import cartoon
from t2v_helpers.core import checking
from t2v_helpers.metrics import reading
from t2v_helpers.metrics.estimates import Measure, as_numbers
from t2v_helpers.metrics.label_adherence import LABELS, batches, check_labels, load_judge

ALL = "all"
PARTS = 20  # groups of videos that the jackknife leaves out in turn
FEWEST = 8  # videos of a word for which its distance is reported


def features(videos: np.ndarray) -> np.ndarray:
    """The features from which the judge reads the labels of videos uint8 [b f 64 64 3]: float64 [b 192].

    ValueError: other arrays.
    """
    with reading.exactly():
        return torch.cat([load_judge().features(x) for x in batches(videos)]).double().numpy()


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|m_a - m_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of two sets of features [n d] and [m d]; 0 or more, no unit.

    m and S are mean and covariance. Heusel et al. 2017, arXiv 1706.08500, equation 6. Does not say which video
    is bad, or whether a video fits its own prompt. ValueError: other shapes, fewer than 2 videos, NaN or infinity.
    """
    a, b = as_numbers("a", a), as_numbers("b", b)
    if any(x.ndim != 2 or len(x) < 2 or not x.size for x in (a, b)) or a.shape[1] != b.shape[1]:
        given = f"{list(a.shape)} and {list(b.shape)}"
        raise ValueError(f"the features are {given}; use [n d] and [m d], n and m at least 2, d the same.")
    r_a, r_b = (np.linalg.qr((x - x.mean(axis=0)) / np.sqrt(len(x) - 1), mode="r") for x in (a, b))  # S = R^T R
    root = np.linalg.norm(r_a @ r_b.T, "nuc")  # Tr (S_a S_b)^(1/2): the sum of these singular values
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return float(max(0.0, apart + (r_a**2).sum() + (r_b**2).sum() - 2 * root))


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
