"""The Fréchet distance of two sets of videos: whether the sets look alike, not whether each video is good.

Each video becomes a vector of features. The distance is that of two Gaussians, one fitted to each set (Heusel et al.
2017, arXiv 1706.08500, equation 6, for pictures; Unterthiner et al. 2018, arXiv 1812.01717, for videos). There the
features are those of I3D. Here they are those of the judge's last layer, 192 numbers a video, so the distances compare
only with distances by the same judge.

Small sets look farther apart than they are, since a fitted covariance is only an estimate. The bias falls roughly as
1/n with the number of videos (Chong and Forsyth 2020, arXiv 1911.07023); compare only sets of one size.
"""

import numpy as np
import torch

from t2v_helpers.metrics import reading
from t2v_helpers.metrics.estimates import as_numbers
from t2v_helpers.metrics.label_adherence import batches, load_judge


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
