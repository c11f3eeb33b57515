"""What notebook 06 does around its swaps: which videos are right, and how they are shown.

Videos are uint8 [f h w 3], one for each of the labels asked for. No judge reads the real model's videos.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from t2v_helpers import cartoon, metrics
from t2v_helpers.show.display import PALETTE, axes, show_filmstrip


def right(videos: Sequence[np.ndarray], asked: Sequence[cartoon.Labels]) -> list[bool]:
    """Whether each video shows all that was asked. ValueError: not a video for each of the labels."""
    return [a == b for a, b in zip(metrics.read(np.stack([*videos])), asked, strict=True)]


def adherence(videos: Sequence[np.ndarray], asked: Sequence[cartoon.Labels]) -> str:
    """For a sentence: "23 of 24 show all that was asked: 96% (80% to 99%)". ValueError: as `right`."""
    share = metrics.Share.of(right(videos, asked))
    low, high = share.interval
    return f"{share.k:2} of {share.n} show all that was asked: {share.share:4.0%} ({low:.0%} to {high:.0%})"


def least_squares(x: Tensor, y: Tensor, ridge: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Weight [d e] and bias [e] with x @ weight + bias nearest to y, for x [n d] and y [n e].

    Ridge regression with a column of ones for the bias (Hastie et al. 2009, equation 3.44), in double precision.
    """
    ones = torch.cat([x, torch.ones_like(x[:, :1])], dim=1).double()  # [n d+1]
    left = ones.T @ ones + ridge * len(x) * torch.eye(ones.shape[1], dtype=ones.dtype, device=x.device)
    both = torch.linalg.solve(left, ones.T @ y.double()).to(x.dtype)  # [d+1 e]
    return both[:-1], both[-1]


def captions(n: int, leave_out: Sequence[cartoon.Labels], seed: int = 0) -> list[str]:
    """n captions of the cartoon world, each in a wording of its own, with none of the labels in `leave_out`."""
    rng = np.random.default_rng(seed)
    allowed = [labels for labels in cartoon.combinations() if labels not in leave_out]
    drawn = rng.integers(len(allowed), size=n)
    return [cartoon.caption(allowed[i], *map(int, rng.integers(60, size=3))) for i in drawn]


def show_middles(clips: Sequence[np.ndarray], labels: Sequence[str], title: str, columns: int = 3) -> None:
    """Show the middle frame of each clip, `columns` in a row, under its label. Errors: those of show_filmstrip."""
    show_filmstrip(np.stack([clip[len(clip) // 2] for clip in clips]), title, columns, labels)


def plot_adherence(by_name: Mapping[str, Sequence[np.ndarray]], asked: Sequence[cartoon.Labels]) -> None:
    """Plot the share of right videos for each label and for all four, with 95 % intervals: name -> videos."""
    _, ax = axes("text encoder", "as asked (share of videos)", f"{len(asked)} sentences, 95 % intervals", (7.5, 3.6))
    found = [metrics.adherence(metrics.read(np.stack([*videos])), asked) for videos in by_name.values()]
    for k, label in enumerate((*metrics.LABELS, metrics.ALL_FOUR)):
        value = np.array([one[label].share for one in found])
        low, high = np.array([one[label].interval for one in found]).T
        off = np.maximum([value - low, high - value], 0)  # rounding may leave -0
        at = np.arange(len(found)) + 0.13 * (k - 2)
        ax.errorbar(at, value, off, fmt="os^Dv"[k], color=PALETTE[k], capsize=3, label=label)
    ax.set_xticks(range(len(found)), by_name)
    ax.set_ylim(-0.03, 1.03)
    ax.legend(fontsize=8)
