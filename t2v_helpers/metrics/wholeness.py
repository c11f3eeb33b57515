"""Whether the subject of a video is in one piece and as large as drawn ones: what no label tells.

The judge reads a jumping cat even where its head has left its body. Here the segmenter, trained on drawings alone,
marks the subject in every frame; OpenCV counts the pieces. A video is whole where every frame is: one piece, whose size
lies in the band of drawings of the same subject and action. Drawings are counted in the same way, and their own share
stands beside a model's: no measure can ask for more than that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch

from t2v_helpers import cartoon, layout
from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.metrics.gap import drawings
from t2v_helpers.metrics.intervals import Share, check_whole
from t2v_helpers.metrics.judged import check_batch, check_labels, check_videos

SPECK = 8  # pixels of 64 x 64; fewer are no piece
SLACK = 0.25  # so far below the smallest drawing's size, and above the largest's, is still usual
INK = np.ones((3, 3), np.uint8)  # the line around a subject, one pixel on each side, joins what it touches


@dataclass(frozen=True)
class Wholeness:
    """How many videos are whole, and why the others are not.

    `share` of the videos; `drawings`, the share of drawings of the same labels (None: not counted); how many videos
    have a frame with more than one piece, `broken`, and one with a size out of the band, `odd_sized`.
    """

    share: Share
    broken: Share
    odd_sized: Share
    drawings: Share | None = None

    @property
    def of_drawings(self) -> float | None:
        """The share, as a part of the drawings' own; None where it was not counted or none is whole."""
        return self.share.share / self.drawings.share if self.drawings and self.drawings.k else None

    def to_dict(self) -> dict:
        """Every Share as a dict, ready for JSON."""
        shares = {name: getattr(self, name) for name in ("share", "broken", "odd_sized", "drawings")}
        return {name: share and share.to_dict() for name, share in shares.items()} | {"of_drawings": self.of_drawings}


@cache
def load_segmenter() -> segmenters.Segmenter:
    """The shipped segmenter, read once. Raises FileNotFoundError where its weights are missing."""
    return segmenters.load()


def marked(videos: np.ndarray, segmenter: segmenters.Segmenter | None = None, batch_size: int = 64) -> np.ndarray:
    """Where the segmenter sees the subject in videos uint8 [b f 64 64 3]: bool [b f 64 64].

    batch_size: frames at a time. ValueError: other arrays, a batch size below 1.
    """
    check_videos(videos)
    check_batch(batch_size)
    segmenter = segmenter or load_segmenter()
    x = layout.fold_frames(layout.to_float(torch.from_numpy(np.ascontiguousarray(videos))))  # [(b f) c h w]
    with torch.inference_mode():
        seen = torch.cat([segmenter(part) > 0 for part in x.split(batch_size)])
    return seen.numpy().reshape(videos.shape[:4])


def pieces(mask: np.ndarray) -> list[int]:
    """The sizes in pixels of the pieces of a mask bool [h w], the largest first; specks are left out.

    Pixels belong together where they touch, corners included, or where only a line of one pixel on each side parts
    them: the ink around a subject. ValueError: no mask of two axes.
    """
    sizes = _sizes(mask)[1]
    return sorted((int(size) for size in sizes if size >= SPECK), reverse=True)


def largest_piece(mask: np.ndarray, rim: bool = False) -> np.ndarray:
    """The largest piece of a mask bool [h w], as a mask of the same shape; an empty mask stays empty.

    rim: the pixels next to it count as well, those of a soft edge. ValueError: no mask of two axes.
    """
    numbers, sizes = _sizes(mask)
    if not len(sizes):
        return mask.copy()
    return (numbers == 1 + np.argmax(sizes)) & (mask | rim)


def _sizes(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each pixel's piece [h w], 0 for none, and how many pixels of the mask each piece has, from 1 on."""
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 2:
        raise ValueError("the mask must be a bool array [h w]: give one frame of metrics.marked(videos)[i].")
    count, numbers = cv2.connectedComponents(cv2.dilate(mask.astype(np.uint8), INK), connectivity=8)
    return numbers, np.bincount(numbers[mask], minlength=count)[1:]


@cache
def usual_size(subject: str, action: str, frames: int = 16, renders: int = 12) -> tuple[float, float]:
    """The band of sizes, in pixels, of this subject doing this: SLACK beyond the smallest and the largest drawing.

    Sizes are those of the largest piece, so a sleeper's letter Z does not count. ValueError: labels, numbers.
    """
    check_whole("frames", frames, 1)
    check_whole("renders", renders, 1)
    labels = cartoon.Labels(subject, action)
    masks = np.concatenate([cartoon.render(labels, seed, frames)[1] > 127 for seed in range(renders)])
    sizes = [max(pieces(mask), default=0) for mask in masks]
    return (1 - SLACK) * min(sizes), (1 + SLACK) * max(sizes)


def wholeness(
    videos: np.ndarray, asked: Sequence[cartoon.Labels], segmenter: segmenters.Segmenter | None = None
) -> Wholeness:
    """How many of videos uint8 [b f 64 64 3] show a whole subject in every frame; `asked` are their labels.

    Shares of 0 to 1, higher is better, with Wilson's interval. Blind to what the subject is, and to all around it.
    ValueError: other arrays, not as many labels.
    """
    seen = marked(videos, segmenter)  # before the labels, for it looks at the videos
    asked = check_labels("asked", asked)
    if len(asked) != len(videos):
        raise ValueError(f"{len(videos)} videos and {len(asked)} labels were given; give as many of each.")
    faults = [_faults(video, labels) for video, labels in zip(seen, asked, strict=True)]
    counts = [sum(fault) for fault in zip(*faults, strict=True)]
    whole = sum(not any(fault) for fault in faults)
    return Wholeness(*(Share(k, len(asked)) for k in (whole, *counts)))


def wholeness_of_drawings(
    asked: Sequence[cartoon.Labels], seed: int = 0, frames: int = 16, segmenter: segmenters.Segmenter | None = None
) -> Share:
    """The share of drawings of these labels that are counted as whole, drawing i from `seed` + i.

    ValueError: no labels, numbers that are not whole.
    """
    return wholeness(drawings(asked, seed, frames), asked, segmenter).share


def _faults(video: np.ndarray, labels: cartoon.Labels) -> tuple[bool, bool]:
    """Of a marked video bool [f h w]: whether a frame has several pieces, and whether one is of no usual size."""
    found, (low, high) = [pieces(frame) for frame in video], usual_size(labels.subject, labels.action)
    broken = any(len(sizes) > 1 for sizes in found)
    return broken, not all(low <= max(sizes, default=0) <= high for sizes in found)
