"""The mark that a model's training clips left in all of its videos: rows of edges that stand still in every clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from t2v_helpers.core import checking
from t2v_helpers.core.video import LUMA


@dataclass(frozen=True)
class Band:
    """Rows `top` to `bottom` of a picture; strength: their agreement with other clips over that of the median rows."""

    top: int
    bottom: int
    strength: float


def still_edges(frames: np.ndarray) -> np.ndarray:
    """Vertical edges that do not move, uint8 [f h w 3] -> [h w-1], about -1 to 1. ValueError: frames.

    The median over time of the change from one pixel to the next, over the mean size of that change.
    """
    grey = checking.frames(frames).astype(np.float32) @ LUMA  # [f h w]
    change = np.diff(grey, axis=2)  # [f h w-1]
    return np.median(change, axis=0) / (np.abs(change).mean(axis=0) + 1)


def shared_band(frames: np.ndarray, others: Sequence[np.ndarray]) -> Band:
    """The band of rows, an eighth of the height, whose still edges are most like those of the other clips.

    Scenes differ, but a watermark stays in one place. Likeness is the absolute correlation with the median of the
    others, since a mark may be lighter or darker than what is behind it. ValueError: frames, no others, other sizes,
    fewer than 16 rows.
    """
    mine, theirs = still_edges(frames), [still_edges(other) for other in others]
    if not theirs or any(other.shape != mine.shape for other in theirs) or len(mine) < 16:
        raise ValueError(
            f"others holds {len(theirs)} clips: use one or more of the size of frames, "
            f"{frames.shape[1]} x {frames.shape[2]}, which must have 16 rows or more."
        )
    common, height = np.median(theirs, axis=0), len(mine) // 8  # [h w-1]
    tops = range(0, len(mine) - height + 1, max(1, height // 4))
    alike = [abs(_correlation(mine[top : top + height], common[top : top + height])) for top in tops]
    best = int(np.argmax(alike))
    return Band(tops[best], tops[best] + height, alike[best] / max(float(np.median(alike)), 1e-6))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two arrays of one shape; 0 where one of them is flat."""
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(np.corrcoef(a.ravel(), b.ravel())[0, 1]))
