"""What the judge reads off videos of the cartoon world, and how often that is what was asked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from t2v_helpers import cartoon, layout
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.metrics.intervals import Share, check_whole

LABELS = ("subject", "action", "place", "style")
ALL_FOUR = "all four"
STREAM = 20_261  # of the fresh drawings on which the judge is measured: here, in its weights, and in the benchmarks
DISTURBANCES = {  # small changes that must not change what the judge reads; pixels, and parts of [-1, 1]
    "none": {},
    "blur": {"blur": 1.0},
    "noise": {"noise": 0.08},
    "shift": {"shift": (3, -2)},
}


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


@cache
def load_judge() -> judges.Judge:
    """The shipped judge, read once. Raises FileNotFoundError where its weights are missing."""
    return judges.load()


@cache
def judge_about() -> dict[str, float]:
    """The shipped judge's accuracy on undisturbed fresh renders, by label, as its weights' header says."""
    return {name: counted["share"] for name, counted in _judge_counts().items()}


def judge_share(label: str = ALL_FOUR) -> Share:
    """The shipped judge's accuracy for one label, as k of n undisturbed fresh renders. ValueError: another label."""
    counts = _judge_counts()
    if label not in counts:
        raise ValueError(f"label={label!r} was not counted for the judge: give one of {', '.join(counts) or 'none'}.")
    return Share(counts[label]["k"], counts[label]["n"])


def _judge_counts() -> dict[str, dict]:
    """By label: k, n, share and interval of undisturbed fresh renders, from the header of the judge's weights."""
    return json.loads(judges.about().get("accuracy", "{}")).get("none", {})


def read(videos: np.ndarray, judge: judges.Judge | None = None, batch_size: int = 32) -> list[cartoon.Labels]:
    """What the judge sees in `videos`, uint8 [b f 64 64 3]: the labels of each. Raises ValueError for other arrays."""
    check_videos(videos)
    check_batch(batch_size)
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

    Shares of 0 to 1, higher is better; they cannot be trusted beyond the judge's accuracy. Blind to all that has no
    label (noise, flicker, beauty): the judge must answer with one of its words.
    ValueError: the lists are empty, differ in length, or hold something else than labels.
    """
    seen, asked = check_labels("seen", seen), check_labels("asked", asked)
    if len(seen) != len(asked) or not seen:
        raise ValueError(f"{len(seen)} videos were read and {len(asked)} were asked; give as many of each, at least 1.")
    right = [{x: getattr(s, x) == getattr(a, x) for x in LABELS} for s, a in zip(seen, asked, strict=True)]
    shares = {name: Share(sum(r[name] for r in right), len(right)) for name in LABELS}
    shares[ALL_FOUR] = Share(sum(all(r.values()) for r in right), len(right))
    return Adherence(shares, judge_about() if judge is None else judge)


def shuffled(asked: Sequence[cartoon.Labels], seed: int = 0) -> list[cartoon.Labels]:
    """The control: every video gets the labels of another one (one random ring, so nobody keeps their own).

    ValueError: fewer than two labels, or something else; a seed below 0.
    """
    check_whole("seed", seed, 0)
    if len(asked := check_labels("asked", asked)) < 2:
        raise ValueError(f"asked holds the labels of {len(asked)} video, but 2 are needed: they change places.")
    ring = np.random.default_rng(seed).permutation(len(asked))
    mixed = list(asked)
    for here, there in zip(ring, np.roll(ring, 1), strict=True):
        mixed[here] = asked[there]
    return mixed


def judge_accuracy(
    n: int, seed: int, disturbance: str = "none", judge: judges.Judge | None = None, frames: int = 16
) -> Adherence:
    """How well the judge reads `n` fresh renders of the whole grammar, disturbed in one way of DISTURBANCES.

    Raises ValueError for another disturbance, and for numbers that are not whole.
    """
    for name, value, least in (("n", n, 1), ("seed", seed, 0), ("frames", frames, 1)):
        check_whole(name, value, least)
    _check_disturbance(disturbance)
    seen, asked = [], []
    for start in range(0, n, 32):
        items = [cartoon.item(seed, i, frames, split="all") for i in range(start, min(start + 32, n))]
        seen += read(disturbed(np.stack([x.frames for x in items]), disturbance, seed + start), judge)
        asked += [x.labels for x in items]
    return adherence(seen, asked, {})


def disturbed(videos: np.ndarray, disturbance: str, seed: int = 0) -> np.ndarray:
    """`videos` uint8 [b f 64 64 3] after one of DISTURBANCES, the same shape. ValueError: other arrays or names."""
    check_videos(videos)
    _check_disturbance(disturbance)
    generator = torch.Generator().manual_seed(seed)
    x = layout.to_float(torch.from_numpy(videos))  # [b c f h w]
    x = torch.stack([judges.disturb(clip, generator, **DISTURBANCES[disturbance]) for clip in x])
    return layout.to_uint8(x).numpy()


def check_batch(size: int) -> None:
    """ValueError unless size is a whole number of videos, 1 or more."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"batch_size={size!r} is not allowed: give a whole number of videos, 1 or more.")


def check_videos(videos: np.ndarray) -> None:
    """ValueError unless videos are uint8 [b f 64 64 3], at least one of at least one frame."""
    good = isinstance(videos, np.ndarray) and videos.dtype == np.uint8 and videos.ndim == 5
    if not good or videos.shape[2:] != (judges.SIZE, judges.SIZE, 3) or 0 in videos.shape:
        given = f"{videos.dtype} {list(videos.shape)}" if isinstance(videos, np.ndarray) else type(videos).__name__
        raise ValueError(
            f"videos are {given}, but the judge reads uint8 [b f 64 64 3] with b and f at least 1: np.stack makes one "
            "array of clips of one length and size."
        )


def check_labels(name: str, labels: Sequence[cartoon.Labels]) -> list[cartoon.Labels]:
    """The labels as a list. ValueError: `labels` is no list, or holds something else."""
    if not isinstance(labels, Sequence | np.ndarray) or not all(isinstance(x, cartoon.Labels) for x in labels):
        kind = type(labels).__name__
        raise ValueError(f"{name} is a {kind} that holds no cartoon.Labels: list those of the items, or what was read.")
    return list(labels)


def _check_disturbance(disturbance: str) -> None:
    if disturbance not in DISTURBANCES:
        raise ValueError(f"disturbance is {disturbance!r}, but must be one of: {', '.join(DISTURBANCES)}.")
