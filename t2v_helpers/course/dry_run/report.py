"""The memory as predicted and as measured, and whether each check holds."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import torch

from t2v_helpers.core import files, tables
from t2v_helpers.machine.device import GIB

WITHIN = 0.15  # how far a measured peak may lie from the prediction
MOST_GIB = 24  # the limit that the dry run promises to keep
SAME = 1e-2  # of the largest value: bfloat16 keeps 8 bits


@dataclass(frozen=True)
class Check:
    """Something that must hold, what was found, and whether it holds."""

    what: str
    found: str
    holds: bool


@dataclass(frozen=True)
class Parts:
    """Bytes known from the configs alone: each part's weights, weights file and activations."""

    weights: Mapping[str, int]
    files: Mapping[str, int]
    activations: Mapping[str, int]

    @property
    def total(self) -> int:
        """Bytes of one set of weights."""
        return sum(self.weights.values())


@dataclass(frozen=True)
class Row:
    """A peak of resident memory, predicted and measured, in bytes, and its phase's seconds.

    least: what is left where the system may drop pages of a file that it has read; None: it may not.
    """

    what: str
    predicted: int
    measured: int
    seconds: float
    least: int | None = None

    @property
    def off(self) -> float:
        """How far the prediction is from the measured peak, as a share of the latter."""
        return self.predicted / self.measured - 1

    @property
    def holds(self) -> bool:
        """Whether the measured peak is WITHIN the prediction."""
        least = self.predicted if self.least is None else self.least
        return (1 - WITHIN) * least <= self.measured <= (1 + WITHIN) * self.predicted


def parts_of(
    skeleton: Mapping[str, torch.nn.Module], dtype: torch.dtype, traced: Mapping[str, int], files: Mapping[str, int]
) -> Parts:
    """The bytes that the configs predict. traced: activation_memory.peaks. files: part -> the bytes of its file."""
    own = next(skeleton["unet"].parameters()).dtype.itemsize
    weights = {name: dtype.itemsize * sum(p.numel() for p in part.parameters()) for name, part in skeleton.items()}
    return Parts(weights, files, {name: n * dtype.itemsize // own for name, n in traced.items()})


def loading(parts: Parts, converted: bool) -> int:
    """The peak of loading above the baseline: the weights so far and the file being read.

    converted: the weights are stored in another dtype; else the mapped file is itself the memory.
    """
    so_far = accumulate(parts.weights.values())
    return max(size + converted * parts.files[name] for name, size in zip(parts.weights, so_far, strict=True))


def rows(parts: Parts, found: Mapping, converted: bool) -> list[Row]:
    """The three phases of the first stage; only the first where the system has one peak for all."""
    predicted = {
        "load": loading(parts, converted),
        "step": parts.total + parts.activations["unet"],
        "decode": parts.total + parts.activations["vae"],
    }
    least = {"load": found["baseline"] + parts.total if converted else None}
    made = [
        Row(name, found["baseline"] + n, phase["peak"], phase["seconds"], least.get(name))
        for (name, n), phase in zip(predicted.items(), found["phases"].values(), strict=True)
    ]
    return made if found["peaks_apart"] else made[:1]


def copies(parts: Parts, shared: Mapping, repeated: Mapping) -> list[Row]:
    """What is held by one set of weights for all schedulers, and by a set for each."""
    sets = {"one set, held": (shared, 1), f"{repeated['sets']} sets, held": (repeated, repeated["sets"])}
    return [
        Row(name, found["baseline"] + n * parts.total, found["held"], found["phases"]["load"]["seconds"])
        for name, (found, n) in sets.items()
    ]


def agreement(made: Iterable[Row]) -> list[Check]:
    """A check for each row: its measured peak agrees with the prediction."""
    return [Check(f"{row.what}: prediction within {WITHIN:.0%}", f"{row.off:+.1%}", row.holds) for row in made]


def checks(
    parameters: int, parts: Parts, step: Mapping, shared: Mapping, repeated: Mapping, size: tuple
) -> list[Check]:
    """What else must hold. parameters: of the configs. size: frames, height and width of the video."""
    peaks = [phase["peak"] for found in (step, shared, repeated) for phase in found["phases"].values()]
    most, n = max(*peaks, repeated["held"]), repeated["sets"]
    apart = difference(shared["arrived"], repeated["arrived"])
    return [
        Check("all parameters are there", f"{step['parameters']:,}", step["parameters"] == parameters),
        Check("a guided step gives finite numbers", str(step["finite"]).lower(), step["finite"]),
        Check("frames are decoded [b f h w c]", str(step["frames"]), tuple(step["frames"]) == (1, *size, 3)),
        Check(f"{n} schedulers on one set of weights", _gib(shared["bytes"]), shared["bytes"] == parts.total),
        Check(f"loaded {n} times, {n} sets", _gib(repeated["bytes"]), repeated["bytes"] == n * parts.total),
        Check("both ways arrive at the same latents", f"off by at most {apart:.1e}", apart <= SAME),
        Check(f"all below {MOST_GIB} GiB", _gib(most), most < MOST_GIB * GIB),
    ]


def difference(some: Mapping[str, list], others: Mapping[str, list]) -> float:
    """The largest difference between values of the same name, as a share of the largest value; inf if not finite."""
    pairs = [(torch.tensor(values), torch.tensor(others[name])) for name, values in some.items()]
    apart = torch.stack([(a - b).abs().max() / a.abs().max() for a, b in pairs])
    return apart.nan_to_num(torch.inf).max().item()


def to_dict(about: dict, parts: Parts, made: list[Row], held: list[Check]) -> dict:
    """The report for JSON, in bytes and seconds."""
    peaks = [asdict(row) | {"off": row.off} for row in made]
    return {"about": about, "parts": asdict(parts), "memory": peaks, "checks": [asdict(check) for check in held]}


def is_one(path: Path) -> bool:
    """Whether a file holds a report as `to_dict` makes it."""
    try:
        return files.read_json(path).keys() >= {"about", "parts", "memory", "checks"}
    except ValueError:  # not JSON, or not a dict
        return False


def text(about: dict, made: list[Row], held: list[Check]) -> str:
    """The report as tables."""
    lines = [f"{name:14} {value}" for name, value in about.items()]
    peaks = [("memory", "predicted", "measured", "off", "seconds")]
    peaks += [(r.what, _gib(r.predicted), _gib(r.measured), f"{r.off:+.1%}", f"{r.seconds:.1f}") for r in made]
    lines += ["", tables.aligned(peaks, right=True)]
    lines += ["", *(f"{'ok ' if check.holds else 'NO '} {check.what}: {check.found}" for check in held)]
    return "\n".join(lines)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
