"""The cartoon world: a clip is a pure function of its labels and a seed, an item of (seed, index).

Frames are uint8 [f 64 64 3], video.FPS a second. Drawn at 128 pixels and reduced, for smooth edges.
"""

from dataclasses import dataclass
from functools import cache, partial

import cv2
import numpy as np

from t2v_helpers.cartoon import places, styles, subjects
from t2v_helpers.cartoon.grammar import Labels, caption, combinations, is_held_out
from t2v_helpers.cartoon.shapes import CANVAS, paint_outlined, place_shapes, polygon
from t2v_helpers.core import checking, video

SIZE = 64  # pixels, height and width of a frame
SECOND = 2 * np.pi  # one turn a second, in radians
SPLITS = {"train": lambda labels: not is_held_out(labels), "held_out": is_held_out, "all": lambda labels: True}
PLAIN_SHARE = 0.4  # of the training items; the other styles share the rest


@dataclass(frozen=True)
class Item:
    """One clip: frames uint8 [f 64 64 3], its caption, its labels, and the subject's mask uint8 [f 64 64]."""

    frames: np.ndarray
    caption: str
    labels: Labels
    mask: np.ndarray


@dataclass(frozen=True)
class Chance:
    """What differs between two clips of the same labels."""

    phase: float  # seconds, where in its cycle the motion starts
    x: float  # canvas pixels off the middle
    size: float  # of the subject, 1 on average
    shift: float  # canvas pixels, of the scenery


@dataclass(frozen=True)
class Stance:
    """Where a subject stands in one frame: centre (canvas pixels), turn (radians), direction, pose."""

    x: float
    y: float
    turn: float = 0.0
    face: int = 1
    stretch: float = 1.0
    pose: subjects.Pose = subjects.Pose()


MIDDLE, STANDING, RADIUS = 64.0, 72.0, 42.0


def _dancing(t: float, chance: Chance) -> Stance:
    beat = np.sin(SECOND * t)
    arms = subjects.Pose(beat, 1.6 + 1.2 * beat, 1.6 - 1.2 * beat)
    return Stance(MIDDLE + 9 * beat, STANDING - 6 * abs(beat), 0.34 * beat, pose=arms)


def _jumping(t: float, chance: Chance) -> Stance:
    height = abs(np.sin(SECOND * t / 2))
    return Stance(MIDDLE, STANDING + 6 - 32 * height, pose=subjects.Pose(0.3, 0.4 + 2 * height, 0.4 + 0.5 * height))


def _spinning(t: float, chance: Chance) -> Stance:
    return Stance(MIDDLE, STANDING - 10, SECOND * t / 2, pose=subjects.Pose(0.2, 1.4, 0.9))


def _walking(t: float, chance: Chance, face: int) -> Stance:
    step = np.sin(SECOND * t * 1.25)
    along = face * 26 * (t - chance.phase - 0.9)  # crosses the middle after 0.9 s
    return Stance(MIDDLE + along, STANDING - 2 * abs(step), face=face, pose=subjects.Pose(step, 0.6 * step, 0.6 * step))


def _sleeping(t: float, chance: Chance) -> Stance:
    breath = np.sin(SECOND * t / 2)
    lying = subjects.Pose(0, 0.2, 0.2, asleep=True)
    return Stance(MIDDLE, STANDING + 14 - 1.5 * breath, stretch=0.7 + 0.04 * breath, pose=lying)


ACT = {"dancing": _dancing, "jumping": _jumping, "spinning": _spinning, "sleeping": _sleeping}
ACT |= {"walking left": partial(_walking, face=-1), "walking right": partial(_walking, face=1)}


def _shapes(subject: str, stance: Stance, chance: Chance, size: float = 1.0) -> list:
    shapes = subjects.DRAW[subject](stance.pose)
    radius, centre = RADIUS * size * chance.size, (stance.x + chance.x, stance.y)
    return place_shapes(shapes, centre, radius, stance.turn, stance.face, stance.stretch)


def _ride(subject: str, t: float, chance: Chance) -> list:
    """The rider behind the mane, on a horse that gallops on the spot."""
    gallop = np.sin(SECOND * t * 1.25)
    y = STANDING + 6 - 5 * abs(gallop)
    mount = Stance(MIDDLE, y, 0.06 * gallop, pose=subjects.Pose(1.4 * gallop))
    rider = Stance(MIDDLE - 12, y - 36 - 3 * gallop, 0.1 * gallop, pose=subjects.Pose(0, 0.8, 1.2))
    return _shapes("horse", mount, chance, 0.95) + _shapes(subject, rider, chance, 0.68)


def _letter_z(t: float, chance: Chance) -> list:
    """A rising letter Z, the cartoonists' sign for sleep."""
    rise = (0.5 * t) % 1
    x, y, s = 92 + chance.x + 8 * rise, 46 - 30 * rise, 9 + 5 * rise
    corners = ((-1, -1), (1, -1), (1, -0.6), (-0.3, 0.6), (1, 0.6), (1, 1), (-1, 1), (-1, 0.6), (0.3, -0.6), (-1, -0.6))
    return [polygon((255, 255, 255), *[(x + s * a, y + s * b) for a, b in corners])]


def _frame(labels: Labels, t: float, chance: Chance) -> tuple[np.ndarray, np.ndarray]:
    """One frame uint8 [128 128 3] and the subject's mask uint8 [128 128] at time t (seconds)."""
    image = np.empty((CANVAS, CANVAS, 3), np.uint8)
    places.DRAW[labels.place](image, t, chance.shift)
    if labels.action == "riding a horse":
        return image, paint_outlined(image, _ride(labels.subject, t, chance))
    mask = paint_outlined(image, _shapes(labels.subject, ACT[labels.action](t, chance), chance))
    if labels.action == "sleeping":
        mask &= ~paint_outlined(image, _letter_z(t, chance))  # it is not the subject, but it may cover it
    return image, mask


def render(labels: Labels, seed: int, frames: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A clip of these labels: frames uint8 [f 64 64 3] and the subject's mask uint8 [f 64 64] (0 or more).

    ValueError: frames or seed.
    """
    checking.whole("frames", frames)
    rng = np.random.default_rng(checking.whole("seed", seed, 0))
    chance = Chance(rng.uniform(0, 2), rng.uniform(-7, 7), rng.uniform(0.94, 1.06), rng.uniform(-5, 5))
    drawn = [_frame(labels, chance.phase + k / video.FPS, chance) for k in range(frames)]
    both = zip(*drawn, strict=True)
    clip, mask = (np.stack([cv2.resize(x, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for x in each]) for each in both)
    return styles.APPLY[labels.style](clip), mask


@cache
def _choices(split: str) -> tuple[tuple[Labels, ...], np.ndarray]:
    """The combinations of a split and the probability of each: all (subject, action, place) are equally likely."""
    wanted = SPLITS[checking.one_of("split", split, SPLITS)]
    chosen = tuple(c for c in combinations() if wanted(c))
    weight = np.array([PLAIN_SHARE if c.style == "plain" else (1 - PLAIN_SHARE) / 3 for c in chosen])
    return chosen, weight / weight.sum()


def item(seed: int, index: int, frames: int = 16, split: str = "train") -> Item:
    """Item `index` of the stream `seed`: labels, wording and motion follow from the two numbers alone.

    `split` is "train", "held_out" (the combinations training never sees) or "all".
    ValueError: split, or a number out of range.
    """
    chosen, weight = _choices(split)
    rng = np.random.default_rng([checking.whole("seed", seed, 0), checking.whole("index", index, 0)])
    labels = chosen[rng.choice(len(chosen), p=weight)]
    wording = [int(k) for k in rng.integers(0, 60, size=3)]
    clip, mask = render(labels, int(rng.integers(0, 2**31)), frames)
    return Item(clip, caption(labels, *wording), labels, mask)
