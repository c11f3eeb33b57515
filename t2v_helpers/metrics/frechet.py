"""The Fréchet distance of two sets of videos: whether the sets look alike, not whether each video is good.

Each video becomes a vector of features. The distance is that of two Gaussians, one fitted to each set (Heusel et al.
2017, arXiv 1706.08500, equation 6, for pictures; Unterthiner et al. 2018, arXiv 1812.01717, for videos). There the
features are those of I3D. Here they are the judge's own, so the numbers compare only with numbers from the same judge:
`FEATURES` names it.

Small sets look farther apart than they are, since a fitted covariance is only an estimate. The bias falls roughly as
1/n with the number of videos (Chong and Forsyth 2020, arXiv 1911.07023); compare only sets of one size.
"""

import numpy as np
import torch
from scipy import linalg

from t2v_helpers.core import checking, layout
from t2v_helpers.metrics.estimates import as_numbers, check_finite
from t2v_helpers.metrics.label_adherence import check_videos, load_judge

FEATURES = "the judge's last layer, 192 numbers a video"


def features(videos: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """The features from which the judge reads the labels of videos uint8 [b f 64 64 3]: float64 [b 192].

    ValueError: other arrays.
    """
    check_videos(videos)
    checking.whole("batch_size", batch_size)
    judge = load_judge()
    with torch.inference_mode():
        parts = torch.from_numpy(np.ascontiguousarray(videos)).split(batch_size)
        return torch.cat([judge.features(layout.to_float(part)) for part in parts]).double().numpy()


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|m_a - m_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of two sets of features [n d] and [m d]; 0 or more, no unit.

    m and S are mean and covariance. Heusel et al. 2017, arXiv 1706.08500, equation 6. Does not say which video
    is bad, or whether a video fits its own prompt. ValueError: other shapes, fewer than 2 videos, NaN or infinity.
    """
    a, b = _checked(a, b)
    (m_a, s_a), (m_b, s_b) = ((x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (a, b))
    root = _root(s_a)
    both = np.sqrt(np.clip(linalg.eigvalsh(root @ s_b @ root), 0, None)).sum()  # Tr (S_a S_b)^(1/2), all real
    return float(max(0.0, ((m_a - m_b) ** 2).sum() + np.trace(s_a) + np.trace(s_b) - 2 * both))


def _root(s: np.ndarray) -> np.ndarray:
    """The symmetric root of a covariance [d d]."""
    values, vectors = linalg.eigh(s)
    return vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T


def _checked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [n d] and [m d]."""
    a, b = as_numbers("a", a), as_numbers("b", b)
    if any(x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 1 for x in (a, b)) or a.shape[1] != b.shape[1]:
        given = f"{list(a.shape)} and {list(b.shape)}"
        raise ValueError(f"the features are {given}; use [n d] and [m d], n and m at least 2, d the same.")
    check_finite(a, b)
    return a, b
