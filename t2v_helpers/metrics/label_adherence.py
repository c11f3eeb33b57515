"""What the judge reads in videos of the cartoon world, and how often that is what was asked."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.core import checking, layout, tensors
from t2v_helpers.metrics import reading
from t2v_helpers.metrics.estimates import Share

LABELS = ("subject", "action", "place", "style")
ALL_FOUR = "all four"
AT_ONCE = 32  # videos that the judge reads at a time
# too small to change what the judge reads; in pixels, and in units of [-1, 1]
DISTURBANCES = {"none": {}, "blur": {"blur": 1.0}, "noise": {"noise": 0.08}, "shift": {"shift": (3, -2)}}


@dataclass(frozen=True)
class Adherence:
    """How many videos show what was asked: a Share for each label and for all four at once.

    `judge` is the judge's own accuracy on fresh renders, by label: no score can be trusted beyond it.
    """

    shares: dict[str, Share]
    judge: dict[str, float]

    def __getitem__(self, label: str) -> Share:
        return self.shares[label]

    def to_dict(self) -> dict:
        """Every Share as a dict, ready for JSON, with the judge's accuracy."""
        return {name: share.to_dict() | {"judge": self.judge.get(name)} for name, share in self.shares.items()}

    def __str__(self) -> str:
        head = f"{'':9}{'right':>11} {'share':>10} {'95 % interval':>17}   the judge itself, on fresh drawings"
        own = {name: f"{self.judge[name]:8.1%}" if name in self.judge else "not measured" for name in self.shares}
        return "\n".join([head, *(f"{name:9}{share}   {own[name]}" for name, share in self.shares.items())])


@cache
def load_judge() -> judges.Judge:
    """The shipped judge, read once. FileNotFoundError: its weights are missing."""
    return judges.load()


@cache
def judge_about() -> dict[str, float]:
    """The shipped judge's accuracy on undisturbed fresh renders, by label, from the header of its weights."""
    return {name: counted["share"] for name, counted in _judge_counts().items()}


def judge_share() -> Share:
    """How often the shipped judge reads all four labels right, of n undisturbed fresh renders."""
    counted = _judge_counts()[ALL_FOUR]
    return Share(counted["k"], counted["n"])


def _judge_counts() -> dict[str, dict]:
    """By label: k, n, share and interval of undisturbed fresh renders, from the header of the judge's weights."""
    return json.loads(tensors.about(judges.WEIGHTS).get("accuracy", "{}")).get("none", {})


def read(videos: np.ndarray, judge: judges.Judge | None = None) -> list[cartoon.Labels]:
    """What the judge reads in `videos`, uint8 [b f 64 64 3]: the labels of each. ValueError: other arrays."""
    judge = judge or load_judge()
    with reading.exactly():
        return [labels for x in batches(videos) for labels in judges.decide(judge(x))]


def digits(video: np.ndarray, asked: cartoon.Labels) -> str:
    """One digit per label of a video uint8 [f 64 64 3], 1 if read as asked: "1011" is right but for the action."""
    (seen,) = read(video[None])
    return "".join(str(int(getattr(seen, label) == getattr(asked, label))) for label in LABELS)


def digits_share(found: Sequence[str], label: str = ALL_FOUR) -> Share:
    """How many of these `digits` are right in a label, or in all four."""
    return Share.of(x == "1111" if label == ALL_FOUR else x[LABELS.index(label)] == "1" for x in found)


def adherence(
    seen: Sequence[cartoon.Labels], asked: Sequence[cartoon.Labels], judge: dict[str, float] | None = None
) -> Adherence:
    """Count, label by label, how often `seen` is what was `asked`. `judge`: its accuracy; None: the shipped judge's.

    Shares of 0 to 1, higher is better; they cannot be trusted beyond the judge's accuracy. Blind to anything without a
    label (noise, flicker, beauty): the judge must answer with one of its words.
    ValueError: the lists are empty, differ in length, or do not hold labels.
    """
    seen, asked = check_labels("seen", seen), check_labels("asked", asked)
    if len(seen) != len(asked) or not seen:
        raise ValueError(f"{len(seen)} videos were read and {len(asked)} were asked: use as many of each, at least 1.")
    right = [{x: getattr(s, x) == getattr(a, x) for x in LABELS} for s, a in zip(seen, asked, strict=True)]
    shares = {name: Share.of(r[name] for r in right) for name in LABELS}
    shares[ALL_FOUR] = Share.of(all(r.values()) for r in right)
    return Adherence(shares, judge_about() if judge is None else judge)


def shuffled(asked: Sequence[cartoon.Labels], seed: int = 0) -> list[cartoon.Labels]:
    """A control: every video gets the labels of another one, along one random ring.

    ValueError: fewer than two labels, not labels, a seed below 0.
    """
    checking.whole("seed", seed, 0)
    if len(asked := check_labels("asked", asked)) < 2:
        raise ValueError(f"asked holds the labels of {len(asked)} video, but 2 are needed.")
    ring = np.random.default_rng(seed).permutation(len(asked))
    mixed = list(asked)
    for here, there in zip(ring, np.roll(ring, 1), strict=True):
        mixed[here] = asked[there]
    return mixed


def judge_accuracy(
    n: int, seed: int, disturbance: str = "none", judge: judges.Judge | None = None, frames: int = 16
) -> Adherence:
    """How well the judge reads `n` fresh renders of the whole grammar under one of DISTURBANCES.

    ValueError: an unknown disturbance, numbers that are not whole.
    """
    checking.whole("n", n)
    checking.one_of("disturbance", disturbance, DISTURBANCES)
    seen, asked = [], []
    for start in range(0, n, 32):
        items = [cartoon.item(seed, i, frames, split="all") for i in range(start, min(start + 32, n))]
        seen += read(disturbed(np.stack([x.frames for x in items]), disturbance, seed + start), judge)
        asked += [x.labels for x in items]
    return adherence(seen, asked, {})


def disturbed(videos: np.ndarray, disturbance: str, seed: int = 0) -> np.ndarray:
    """`videos` uint8 [b f 64 64 3] after one of DISTURBANCES, the same shape. ValueError: other arrays or names."""
    check_videos(videos)
    checking.one_of("disturbance", disturbance, DISTURBANCES)
    generator = torch.Generator().manual_seed(seed)
    x = layout.to_float(torch.from_numpy(videos))  # [b c f h w]
    x = torch.stack([judges.disturb(clip, generator, **DISTURBANCES[disturbance]) for clip in x])
    return layout.to_uint8(x).numpy()


def batches(videos: np.ndarray) -> Iterator[torch.Tensor]:
    """Videos uint8 [b f 64 64 3] as the judge reads them, some at a time: float [b 3 f 64 64]. ValueError: others."""
    check_videos(videos)
    parts = torch.from_numpy(np.ascontiguousarray(videos)).split(AT_ONCE)
    return map(layout.to_float, parts)


def check_videos(videos: np.ndarray) -> None:
    """ValueError unless videos are uint8 [b f 64 64 3], at least one of at least one frame."""
    good = isinstance(videos, np.ndarray) and videos.dtype == np.uint8 and videos.ndim == 5
    if not good or videos.shape[2:] != (judges.SIZE, judges.SIZE, 3) or 0 in videos.shape:
        given = f"{videos.dtype} {list(videos.shape)}" if isinstance(videos, np.ndarray) else type(videos).__name__
        needed = "uint8 [b f 64 64 3] with b and f at least 1: np.stack makes one array of clips of one length and size"
        raise ValueError(f"videos are {given}, but the judge reads {needed}.")


def check_labels(name: str, labels: Sequence[cartoon.Labels]) -> list[cartoon.Labels]:
    """The labels as a list. ValueError: not a sequence, or not of labels."""
    checking.kind(name, labels, (Sequence, np.ndarray), "a list of cartoon.Labels")
    return [checking.kind(f"{name}[{i}]", x, cartoon.Labels, "cartoon.Labels") for i, x in enumerate(labels)]
