"""How the segmenter is trained: on drawings alone, disturbed a little, some of them with a piece out of its place.

    t2v train segmenter

A segmenter that has only seen whole subjects could learn to see whole ones where there are none. So in a part of the
frames a rectangle is moved somewhere else, picture and mask alike: what is cut off is still to be marked where it is.
"""

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from t2v_helpers import cartoon, files, layout, metrics, seeding
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.measures import of_values
from t2v_helpers.training import cosine, seeded

FRESH_SEED = 1_000_003  # a stream of drawings that no training draws from


@dataclass(frozen=True)
class SegmenterSettings:
    """What decides the segmenter's weights."""

    seed: int = 0
    steps: int = 1500
    batch: int = 32
    lr: float = 4e-3
    warm_up: int = 50
    moved: float = 0.4  # share of the frames in which a piece is out of its place
    blur: float = 1.3  # pixels, at most
    noise: float = 0.12  # of [-1, 1], at most
    brightness: float = 0.12  # of [-1, 1], at most

    def __post_init__(self):
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        if not 0 <= self.moved <= 1:
            raise ValueError(f"moved is {self.moved}, but must be a share from 0 to 1.")


class SegmenterTask:
    """Learn to mark the subject in disturbed drawings. Settings: SegmenterSettings. A `training.Task`."""

    name, ema = "segmenter", 0.995

    def __init__(self, settings: SegmenterSettings):
        self.modules = seeded(settings.seed, segmenters.Segmenter)
        self.chosen, self.steps, self.settings = settings, settings.steps, asdict(settings)

    def batch(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames x [b 3 64 64] in [-1, 1], and masks [b 64 64], 0 to 1."""
        rng = np.random.default_rng((self.chosen.seed, k))
        pairs = [self._pair(k * self.chosen.batch + i, rng) for i in range(self.chosen.batch)]
        frames, masks = (torch.stack(part) for part in zip(*pairs, strict=True))
        return frames, masks

    def _pair(self, index: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        item = cartoon.item(self.chosen.seed, index, frames=1, split="all")
        frame, mask = item.frames[0], subject_masks(item)[0]
        if rng.random() < self.chosen.moved:
            frame, mask = piece_moved(frame, mask, rng)
        return disturbed(frame, self.chosen, rng), torch.from_numpy(mask / 255).float()

    def within(self, k: int) -> nullcontext:
        """Nothing to set."""
        return nullcontext()

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """The cross-entropy of every pixel; the log shows the intersection over union."""
        x, masks = batch
        logits = self.modules(x)
        return F.binary_cross_entropy_with_logits(logits, masks), {"iou": _iou(logits > 0, masks > 0.5).mean().item()}

    def lr(self, k: int) -> float:
        """Warm-up, then a cosine to zero."""
        return self.chosen.lr * min(1, (k + 1) / self.chosen.warm_up) * cosine(k / self.steps)


def subject_masks(item: cartoon.Item) -> np.ndarray:
    """The item's masks uint8 [f 64 64], of a sleeper without its letter Z: the largest piece alone."""
    if item.labels.action != "sleeping":
        return item.mask
    return np.stack([mask * metrics.largest_piece(mask > 127, rim=True) for mask in item.mask])


def piece_moved(
    frame: np.ndarray, mask: np.ndarray, rng: np.random.Generator, smallest: int = 8, largest: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """A frame uint8 [h w 3] and its mask uint8 [h w] with one rectangle, `smallest` to `largest` pixels, elsewhere too.

    The rectangle is copied from around the subject, where there is one, so that it mostly holds a part of it.
    """
    size = rng.integers(smallest, largest + 1, size=2)
    places = np.argwhere(mask > 127)
    middle = places[rng.integers(len(places))] if len(places) else rng.integers(0, mask.shape)
    room = np.array(mask.shape) - size
    (y, x), (v, u) = np.clip(middle - size // 2, 0, room), rng.integers(0, room + 1)
    moved = [part.copy() for part in (frame, mask)]
    for new, old in zip(moved, (frame, mask), strict=True):
        new[v : v + size[0], u : u + size[1]] = old[y : y + size[0], x : x + size[1]]
    return moved[0], moved[1]


def disturbed(frame: np.ndarray, settings: SegmenterSettings, rng: np.random.Generator) -> torch.Tensor:
    """A frame uint8 [h w 3], half of them soft, noisy or bright: float [3 h w] in [-1, 1]."""
    x = layout.to_float(torch.from_numpy(frame[None, None].copy()))[0]  # [3 1 h w]
    on = rng.random(3) < 0.5
    return judges.disturb(
        x,
        seeding.generator(int(rng.integers(seeding.MAX_SEED))),
        blur=float(rng.uniform(0.3, settings.blur) * on[0]),
        noise=float(rng.uniform(0, settings.noise) * on[1]),
        brightness=float(rng.uniform(-settings.brightness, settings.brightness) * on[2]),
    )[:, 0]


def accuracy(segmenter: segmenters.Segmenter, drawings: int, seed: int = FRESH_SEED) -> dict[str, dict]:
    """Intersection over union on fresh drawings, by disturbance: its mean over drawings, the interval, and n.

    A drawing is one frame; the share of the union of both masks, 0 to 1, that is marked in both.
    """
    items = [cartoon.item(seed, i, frames=1, split="all") for i in range(drawings)]
    wanted = torch.from_numpy(np.stack([subject_masks(item) for item in items])) > 127  # [n 1 64 64]
    videos, found = np.stack([item.frames for item in items]), {}
    for way in metrics.DISTURBANCES:
        seen = torch.from_numpy(metrics.marked(metrics.disturbed(videos, way), segmenter))
        found[way] = asdict(of_values(_iou(seen[:, 0], _moved(wanted, way)[:, 0]).tolist()))
    return found


def ship(
    segmenter: segmenters.Segmenter, settings: SegmenterSettings, drawings: int, path: Path = segmenters.WEIGHTS
) -> dict[str, dict]:
    """Measure the segmenter on fresh drawings, write it with these numbers in its header, and return them."""
    found = accuracy(segmenter, drawings)
    about = {"settings": json.dumps(asdict(settings)), "accuracy": json.dumps(found)}
    files.write_whole(path, lambda temporary: segmenters.save(segmenter, temporary, about))
    return found


def _moved(masks: torch.Tensor, way: str) -> torch.Tensor:
    """Masks bool [n 1 h w], moved as the pictures are in one of the judge's disturbances."""
    right, down = metrics.DISTURBANCES[way].get("shift", (0, 0))
    return judges.disturb(masks.float(), torch.Generator(), shift=(right, down)) > 0.5


def _iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of masks bool [n h w]: [n], 1 where both are empty."""
    both, either = (a & b).sum(dim=(1, 2)), (a | b).sum(dim=(1, 2))
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)
