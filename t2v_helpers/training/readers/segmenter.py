"""Training of the segmenter, on drawings alone: slightly disturbed, and some of them with a piece out of place.

A segmenter that has only seen whole subjects might mark a whole one where there is none. So in a part of the frames a
rectangle is copied elsewhere, in picture and mask alike: what is cut off is still marked where it is. Other frames are
bent like rubber: a model draws a crooked window now and then, and it must not be taken for a piece of the subject.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.cartoon import stored
from t2v_helpers.core import checking
from t2v_helpers.core.seeding import seeded
from t2v_helpers.metrics.estimates import of_values
from t2v_helpers.training import data
from t2v_helpers.training.loop import Task

BEND = 4.0  # pixels


@dataclass(frozen=True)
class SegmenterSettings:
    """What decides the segmenter's weights."""

    seed: int = 0
    steps: int = 4500
    batch: int = 32
    lr: float = 4e-3
    warm_up: int = 50
    moved: float = 0.4  # share of the frames with a piece out of place
    bent: float = 0.5  # share of the frames that are bent
    blur: float = 1.3  # pixels, at most
    noise: float = 0.12  # of [-1, 1], at most
    brightness: float = 0.12  # of [-1, 1], at most

    def __post_init__(self):
        for name in ("steps", "batch"):
            checking.whole(name, getattr(self, name))
        for name in ("moved", "bent"):
            checking.number(name, getattr(self, name), 0, 1)


class SegmenterTask(Task):
    """Learn to mark the subject in disturbed drawings."""

    name, ema = "segmenter", 0.995

    def __init__(self, settings: SegmenterSettings):
        super().__init__(settings, seeded(settings.seed, segmenters.Segmenter))

    def batch(self, k: int) -> tuple[Tensor, Tensor]:
        """Frames x [b 3 64 64] in [-1, 1], and masks [b 64 64] in [0, 1]."""
        rng = np.random.default_rng((self.settings.seed, k))
        pairs = [self._pair(k * self.settings.batch + i, rng) for i in range(self.settings.batch)]
        frames, masks = (torch.stack(part) for part in zip(*pairs, strict=True))
        return frames, masks

    def _pair(self, index: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        item = cartoon.item(self.settings.seed, index, frames=1, split="all")
        frame, mask = item.frames[0], item.mask[0]
        if rng.random() < self.settings.moved:
            frame, mask = piece_moved(frame, mask, rng)
        if rng.random() < self.settings.bent:
            frame, mask = bent(frame, mask, rng)
        return data.disturbed(frame[None], self.settings, rng)[:, 0], torch.from_numpy(mask / 255).float()

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The cross-entropy of each pixel; the log shows the intersection over union."""
        x, masks = batch
        logits = self.modules(x)
        return F.binary_cross_entropy_with_logits(logits, masks), {"iou": _iou(logits > 0, masks > 0.5).mean().item()}


def piece_moved(frame: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A frame uint8 [h w 3] and its mask uint8 [h w], with one rectangle copied elsewhere in both.

    Its sides are 8 to 32 pixels; its centre is on the subject, if there is one.
    """
    size = rng.integers(8, 33, size=2)
    places = np.argwhere(mask > 127)
    middle = places[rng.integers(len(places))] if len(places) else rng.integers(0, mask.shape)
    room = np.array(mask.shape) - size
    (y, x), (v, u) = np.clip(middle - size // 2, 0, room), rng.integers(0, room + 1)
    moved = [part.copy() for part in (frame, mask)]
    for new, old in zip(moved, (frame, mask), strict=True):
        new[v : v + size[0], u : u + size[1]] = old[y : y + size[0], x : x + size[1]]
    return moved[0], moved[1]


def bent(frame: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A frame uint8 [h w 3] and its mask uint8 [h w], bent alike by a smooth random field of up to BEND pixels."""
    h, w = mask.shape
    right, down = (cv2.resize(rng.uniform(-BEND, BEND, (7, 7)), (w, h), interpolation=cv2.INTER_CUBIC) for _ in "xy")
    y, x = np.mgrid[:h, :w]
    places = (x + right).astype(np.float32), (y + down).astype(np.float32)
    turned = [cv2.remap(part, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part in (frame, mask)]
    return turned[0], turned[1]


def accuracy(segmenter: segmenters.Segmenter, drawings: int) -> dict[str, dict]:
    """Mean intersection over union (0 to 1) on fresh drawings of one frame, with its interval, by disturbance."""
    items = [cartoon.item(data.FRESH_SEED, i, frames=1, split="all") for i in range(drawings)]
    wanted = torch.from_numpy(np.stack([item.mask for item in items])) > 127  # [n 1 64 64]
    videos, found = np.stack([item.frames for item in items]), {}
    for name in metrics.DISTURBANCES:
        seen = torch.from_numpy(metrics.marked(metrics.disturbed(videos, name), segmenter))
        found[name] = asdict(of_values(_iou(seen[:, 0], _shifted(wanted, name)[:, 0]).tolist()))
    return found


def export(
    segmenter: segmenters.Segmenter, settings: SegmenterSettings, drawings: int, path: Path = segmenters.WEIGHTS
) -> dict[str, dict]:
    """Measure the accuracy on fresh drawings, write the segmenter to `path` with it in the header, and return it."""
    found = accuracy(segmenter, drawings)
    about = {"settings": json.dumps(asdict(settings)), "accuracy": json.dumps(found)}
    stored.save(segmenter, path, about)
    return found


def _shifted(masks: Tensor, disturbance: str) -> Tensor:
    """Masks bool [n 1 h w], shifted as one of metrics.DISTURBANCES shifts the pictures."""
    shift = metrics.DISTURBANCES[disturbance].get("shift", (0, 0))
    return judges.disturb(masks.float(), torch.Generator(), shift=shift) > 0.5


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of masks bool [n h w]: [n], 1 where both are empty."""
    both, either = (a & b).sum(dim=(1, 2)), (a | b).sum(dim=(1, 2))
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)
