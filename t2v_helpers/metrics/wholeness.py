"""Whether the subject of a video is in one piece, and of the size that it is drawn in.

The judge reads a jumping cat even if its head has left its body. Here the segmenter, trained on drawings alone, marks
the subject in each frame, and OpenCV counts the pieces. A frame is whole if there is one piece, of a size within the
range of drawings of the same subject and action; a video is whole if all its frames are. Drawings are measured in the
same way, and their own share is the most that a model can be expected to reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.core import layout
from t2v_helpers.metrics import reading
from t2v_helpers.metrics.estimates import Share
from t2v_helpers.metrics.label_adherence import check_labels, check_videos

BATCH = 64  # frames at a time
SPECK = 8  # pixels; smaller pieces are ignored
SLACK = 0.25  # by which a size may be below the smallest drawing's, or above the largest's
INK = np.ones((3, 3), np.uint8)  # dilation by one pixel: an outline does not separate what it touches


@dataclass(frozen=True)
class Wholeness:
    """How many videos are whole, and why the others are not.

    `share`: the whole videos; `broken`: those with a frame of several pieces; `odd_sized`: those with a frame whose
    largest piece is out of range.
    """

    share: Share
    broken: Share
    odd_sized: Share

    def to_dict(self) -> dict:
        """Every Share as a dict, ready for JSON."""
        return {name: share.to_dict() for name, share in vars(self).items()}


@cache
def load_segmenter() -> segmenters.Segmenter:
    """The shipped segmenter, read once. FileNotFoundError: its weights are missing."""
    return segmenters.load()


def marked(videos: np.ndarray, segmenter: segmenters.Segmenter | None = None) -> np.ndarray:
    """Where the segmenter sees the subject in videos uint8 [b f 64 64 3]: bool [b f 64 64]. ValueError: others."""
    check_videos(videos)
    segmenter = segmenter or load_segmenter()
    x = layout.fold_frames(layout.to_float(torch.from_numpy(np.ascontiguousarray(videos))))  # [(b f) c h w]
    with reading.exactly():
        seen = torch.cat([segmenter(part) > 0 for part in x.split(BATCH)])
    return seen.numpy().reshape(videos.shape[:4])


def pieces(mask: np.ndarray) -> list[int]:
    """The sizes in pixels of the connected pieces of a mask bool [h w], the largest first, without specks.

    Pixels are connected if they touch, corners included, or if at most two pixels separate them: the outline of one
    subject. ValueError: not a mask.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 2:
        raise ValueError("the mask must be a bool array [h w]: use a frame of metrics.marked(videos)[i].")
    count, numbers = cv2.connectedComponents(cv2.dilate(mask.astype(np.uint8), INK), connectivity=8)
    sizes = np.bincount(numbers[mask], minlength=count)[1:]  # pixels of the mask in each piece; 0 is the background
    return sorted((int(size) for size in sizes if size >= SPECK), reverse=True)


@cache
def usual_size(subject: str, action: str) -> tuple[float, float]:
    """The range of sizes, in pixels, of a subject in an action: that of 12 drawings, widened by SLACK.

    Sizes are those of the largest piece. ValueError: labels.
    """
    labels = cartoon.Labels(subject, action)
    masks = np.concatenate([cartoon.render(labels, seed)[1] > 127 for seed in range(12)])
    sizes = [max(pieces(mask), default=0) for mask in masks]
    return (1 - SLACK) * min(sizes), (1 + SLACK) * max(sizes)


def wholeness(
    videos: np.ndarray, asked: Sequence[cartoon.Labels], segmenter: segmenters.Segmenter | None = None
) -> Wholeness:
    """How many of videos uint8 [b f 64 64 3] show a whole subject in every frame; `asked` are their labels.

    Shares of 0 to 1, higher is better, with Wilson's interval. Blind to what the subject is, and to its surroundings.
    ValueError: other arrays, not as many labels.
    """
    seen = marked(videos, segmenter)  # first, because it checks the videos
    asked = check_labels("asked", asked)
    if len(asked) != len(videos):
        raise ValueError(f"there are {len(videos)} videos and {len(asked)} labels: use as many of each.")
    faults = [_faults(video, labels) for video, labels in zip(seen, asked, strict=True)]
    counts = [sum(fault) for fault in zip(*faults, strict=True)]
    whole = sum(not any(fault) for fault in faults)
    return Wholeness(*(Share(k, len(asked)) for k in (whole, *counts)))


def _faults(video: np.ndarray, labels: cartoon.Labels) -> tuple[bool, bool]:
    """Of a marked video bool [f h w]: whether a frame has several pieces, and whether one has an unusual size."""
    found, (low, high) = [pieces(frame) for frame in video], usual_size(labels.subject, labels.action)
    broken = any(len(sizes) > 1 for sizes in found)
    return broken, not all(low <= max(sizes, default=0) <= high for sizes in found)
