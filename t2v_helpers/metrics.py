"""Measures of a video: what the judge reads off it, what OpenCV sees in it, and how sure a share is.

Videos are uint8, [f h w c] one or [b f h w c] several. In the cartoon world the labels of every sentence are known,
so "does the video show what was asked?" is counted, not argued about. The judge's own accuracy on fresh renders
stands beside every count. OpenCV gives a second opinion that has learned nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

import cv2
import numpy as np
import torch

from t2v_helpers import cartoon, layout
from t2v_helpers.cartoon import judge as judges

LABELS = ("subject", "action", "place", "style")
ALL_FOUR = "all four"
DISTURBANCES = {  # small changes that must not change what the judge reads; pixels, and parts of [-1, 1]
    "none": {},
    "blur": {"blur": 1.0},
    "noise": {"noise": 0.08},
    "shift": {"shift": (3, -2)},
}
SLOWEST = 0.5  # pixels a frame; below it nothing is said to travel


@dataclass(frozen=True)
class Share:
    """k of n, and the 95 % interval of the true share."""

    k: int
    n: int

    def __post_init__(self):
        if not 0 <= self.k <= self.n or self.n < 1:
            raise ValueError(f"a share needs 0 <= k <= n and n >= 1, not k = {self.k} and n = {self.n}.")

    @property
    def share(self) -> float:
        """k / n."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson(self.k, self.n)

    def to_dict(self) -> dict:
        """k, n, share and interval, ready for JSON."""
        return {"k": self.k, "n": self.n, "share": self.share, "interval": list(self.interval)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{f'{self.k}/{self.n}':>11} {100 * self.share:8.1f} % {100 * low:8.1f} - {100 * high:5.1f} %"


@dataclass(frozen=True)
class Adherence:
    """How many videos show what was asked: a Share for each label and for all four at once.

    `judge` is the judge's own accuracy on fresh renders, by label; a score cannot be trusted beyond it.
    """

    shares: dict[str, Share]
    judge: dict[str, float]

    def __getitem__(self, label: str) -> Share:
        return self.shares[label]

    def to_dict(self) -> dict:
        """Every Share as a dict, ready for JSON, with the judge's accuracy beside it."""
        return {name: share.to_dict() | {"judge": self.judge.get(name)} for name, share in self.shares.items()}

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self) -> str:
        head = f"{'':9}{'right':>11} {'share':>10} {'95 % interval':>17}   the judge itself, on fresh drawings"
        own = {name: f"{self.judge[name]:8.1%}" if name in self.judge else "not measured" for name in self.shares}
        return "\n".join([head, *(f"{name:9}{share}   {own[name]}" for name, share in self.shares.items())])


@dataclass(frozen=True)
class Motion:
    """Where the moving thing goes: "left", "right" or "none", and its speed to the right in pixels a frame."""

    direction: str
    dx: float


def wilson(k: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share after k of n, 95 % by default. Wilson (1927), JASA 22, p. 209: centre -+ half."""
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@cache
def load_judge() -> judges.Judge:
    """The shipped judge, read once. Raises FileNotFoundError where its weights are missing."""
    return judges.load()


@cache
def judge_about() -> dict[str, float]:
    """The shipped judge's accuracy on undisturbed fresh renders, by label, as its weights' header says."""
    accuracy = json.loads(judges.about().get("accuracy", "{}"))
    return {name: share["share"] for name, share in accuracy.get("none", {}).items()}


def read(videos: np.ndarray, judge: judges.Judge | None = None, batch_size: int = 32) -> list[cartoon.Labels]:
    """What the judge sees in `videos`, uint8 [b f 64 64 3]: the labels of each. Raises ValueError for other arrays."""
    _check_videos(videos)
    judge = judge or load_judge()
    labels = []
    with torch.inference_mode():
        for part in torch.from_numpy(np.ascontiguousarray(videos)).split(batch_size):
            labels += judges.decide(judge(layout.to_float(part)))
    return labels


def adherence(
    seen: Sequence[cartoon.Labels], asked: Sequence[cartoon.Labels], judge: dict[str, float] | None = None
) -> Adherence:
    """Count, label by label, how often `seen` is what was `asked`. `judge`: its accuracy; None: the shipped judge's.

    Raises ValueError where the lists are empty or differ in length.
    """
    if len(seen) != len(asked) or not seen:
        raise ValueError(f"{len(seen)} videos were read and {len(asked)} were asked; give as many of each, at least 1.")
    right = [{x: getattr(s, x) == getattr(a, x) for x in LABELS} for s, a in zip(seen, asked, strict=True)]
    shares = {name: Share(sum(r[name] for r in right), len(right)) for name in LABELS}
    shares[ALL_FOUR] = Share(sum(all(r.values()) for r in right), len(right))
    return Adherence(shares, judge_about() if judge is None else judge)


def shuffled(asked: Sequence[cartoon.Labels], seed: int = 0) -> list[cartoon.Labels]:
    """The control: every video gets the labels of another one (one random ring, so nobody keeps their own)."""
    ring = np.random.default_rng(seed).permutation(len(asked))
    mixed = list(asked)
    for here, there in zip(ring, np.roll(ring, 1), strict=True):
        mixed[here] = asked[there]
    return mixed


def judge_accuracy(
    n: int, seed: int, disturbance: str = "none", judge: judges.Judge | None = None, frames: int = 16
) -> Adherence:
    """How well the judge reads `n` fresh renders of the whole grammar, disturbed in one way of DISTURBANCES.

    Raises ValueError for another disturbance.
    """
    if disturbance not in DISTURBANCES:
        raise ValueError(f"disturbance is {disturbance!r}, but must be one of: {', '.join(DISTURBANCES)}.")
    seen, asked = [], []
    for start in range(0, n, 32):
        items = [cartoon.item(seed, i, frames, split="all") for i in range(start, min(start + 32, n))]
        seen += read(disturbed(np.stack([x.frames for x in items]), disturbance, seed + start), judge)
        asked += [x.labels for x in items]
    return adherence(seen, asked, {})


def disturbed(videos: np.ndarray, disturbance: str, seed: int = 0) -> np.ndarray:
    """`videos` uint8 [b f h w c] after one of DISTURBANCES, the same shape."""
    generator = torch.Generator().manual_seed(seed)
    x = layout.to_float(torch.from_numpy(videos))  # [b c f h w]
    x = torch.stack([judges.disturb(clip, generator, **DISTURBANCES[disturbance]) for clip in x])
    return layout.to_uint8(x).numpy()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 arrays of one shape, in dB: 10 log10(255^2 / MSE); equal arrays: inf."""
    if a.shape != b.shape:
        raise ValueError(f"the arrays are {a.shape} and {b.shape}, but must have one shape.")
    mse = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
    return float("inf") if mse == 0 else 10 * float(np.log10(255**2 / mse))


def sharpness(frames: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Variance of the Laplacian of the grey levels (0..255), the mean over frames; higher is sharper.

    frames uint8 [f h w c]; mask bool or uint8 [f h w]: only where it is set (None: everywhere; a frame where it is
    nowhere set does not count). Pech-Pacheco et al. (2000), "Diatom autofocusing in brightfield microscopy", ICPR.
    Raises ValueError where the mask is empty or of another shape.
    """
    mask = np.ones(frames.shape[:3], bool) if mask is None else mask > 0
    if mask.shape != frames.shape[:3] or not mask.any():
        raise ValueError(f"the mask is {mask.shape} with {mask.sum()} pixels set; give {frames.shape[:3]}, some set.")
    edges = [cv2.Laplacian(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32), cv2.CV_32F) for f in frames]
    return float(np.mean([e[m].var() for e, m in zip(edges, mask, strict=True) if m.any()]))


def flicker(frames: np.ndarray) -> float:
    """How much a pixel of the still part of a clip uint8 [f h w c] changes from frame to frame, 0 to 1.

    It is the mean absolute change of the pixel at the end of the calmest quarter: that much of a clip surely stands
    still, whatever walks through it. Raises ValueError for a clip of one frame.
    """
    if len(frames) < 2:
        raise ValueError(f"the clip has {len(frames)} frame, but flicker needs 2: it is the change between frames.")
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(0, 3))  # [h w]
    return float(np.quantile(change, 0.25)) / 255


@cache
def usual_region(subject: str, action: str, frames: int = 16, renders: int = 12) -> np.ndarray:
    """Where renders of this subject and action mostly show the subject: bool [f 64 64], set in more than half of them.

    A generated video has no mask. This region stands in for it, and a fair comparison uses it on renders as well.
    """
    labels = cartoon.Labels(subject, action)
    masks = [cartoon.render(labels, seed, frames)[1] > 127 for seed in range(renders)]
    return np.mean(masks, axis=0) > 0.5


def direction(frames: np.ndarray) -> Motion:
    """Where the moving thing travels in a clip uint8 [f h w c], by OpenCV alone: no network, nothing learned.

    The background is the median frame. What differs from it is weighed by how much it differs, after a blur; a line is
    fitted to the centre of this weight over time. A subject that stays in place, or a still clip, has no direction.
    """
    grey = np.stack([cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (5, 5), 0) for f in frames]).astype("f4")
    off = np.abs(grey - np.median(grey, axis=0))
    off[off < 12] = 0
    weight = off.sum(axis=1)  # [f w]
    times = np.flatnonzero(weight.sum(axis=1) > 0)
    if len(times) < 3:
        return Motion("none", 0.0)
    centres = weight[times] @ np.arange(weight.shape[1]) / weight[times].sum(axis=1)
    dx = float(np.polyfit(times, centres, 1)[0])
    return Motion("none" if abs(dx) < SLOWEST else "right" if dx > 0 else "left", dx)


def dominant_colours(frames: np.ndarray, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """The k colours that a clip uint8 [f h w c] is mostly made of, by cv2.kmeans: (uint8 [k 3] RGB, shares [k]).

    The largest share comes first. The start is fixed (pixels ranked by brightness), so the answer is always the same.
    """
    pixels = frames[:, ::2, ::2].reshape(-1, 3).astype(np.float32)
    if not 1 <= k <= len(pixels):
        raise ValueError(f"k is {k}, but must be between 1 and {len(pixels)}.")
    start = (np.argsort(np.argsort(pixels.sum(axis=1), kind="stable")) * k // len(pixels)).astype(np.int32)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.5)
    _, found, centres = cv2.kmeans(pixels, k, start[:, None], stop, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    shares = np.bincount(found.ravel(), minlength=k) / len(pixels)
    order = np.argsort(-shares)
    return centres[order].round().astype(np.uint8), shares[order]


def _check_videos(videos: np.ndarray) -> None:
    good = isinstance(videos, np.ndarray) and videos.dtype == np.uint8 and videos.ndim == 5
    if not good or videos.shape[2:] != (judges.SIZE, judges.SIZE, 3) or 0 in videos.shape:
        given = f"{videos.dtype} {list(videos.shape)}" if isinstance(videos, np.ndarray) else type(videos).__name__
        raise ValueError(f"videos are {given}, but the judge reads uint8 [b f 64 64 3] with b and f at least 1.")
