"""What was asked (GenerationSpec), and what was asked and found (GenerationRecord), to and from JSON.

A record is next to its video: `dog.mp4` has `dog.json`.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from numbers import Integral
from pathlib import Path

import numpy as np

from t2v_helpers.core import checking
from t2v_helpers.core.files import existing, named, parse_json, read_text, reason

_WORDS = {str: "a text", int: "a whole number", float: "a number", dict: "a table", type(None): "None"}


@dataclass(frozen=True)
class GenerationSpec:
    """What is asked of a model; None is the model's own default. ValueError: a value of the wrong type.

    height and width are in pixels, frames in frames; guidance is w in eps_u + w (eps_c - eps_u)
    (Ho & Salimans 2022, "Classifier-free diffusion guidance", in the pipeline's convention: 1 means none).
    Ranges depend on the model and are checked by `validation.check`.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    scheduler: str = "dpm++"
    steps: int = 25
    guidance: float | None = None
    frames: int = 16
    height: int | None = None
    width: int | None = None

    def __post_init__(self):
        _check_types(self)

    def to_dict(self) -> dict:
        """The fields as a dict of plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "GenerationSpec":
        """The inverse of `to_dict`. ValueError: an unknown or missing key, or a wrong type."""
        return cls(**_known(cls, values))


@dataclass(frozen=True)
class GenerationRecord:
    """What was asked and what was found. ValueError: a spec with None left in it, or a value of the wrong type.

    spec is resolved (every default filled in); seconds is the wall time of the generation; peak_memory_mib is in MiB
    (device memory on a GPU, the process's on a CPU); frames_sha256 comes from `frames_hash`; weights is the pipeline's
    fingerprint, with a LoRA and its scale, and noise that was not the seed's (empty in records of older versions).
    """

    spec: GenerationSpec
    model: str
    dtype: str
    device: str
    versions: dict
    seconds: float
    peak_memory_mib: float
    frames_sha256: str
    weights: str = ""

    def __post_init__(self):
        _check_types(self)
        open_fields = [name for name, value in self.spec.to_dict().items() if value is None]
        if open_fields:
            raise ValueError(f"spec leaves {', '.join(open_fields)} at None: fill in the model's defaults first.")

    def to_json(self) -> str:
        """The record as indented JSON, ASCII only, so that any prompt survives any terminal."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "GenerationRecord":
        """The inverse of `to_json`. ValueError: not JSON, or not the JSON of a record."""
        try:
            values = parse_json(text)
        except ValueError as error:
            raise ValueError(f"the record is damaged ({reason(error)}): generate the video again.") from error
        values = _known(cls, values)
        return cls(**values | {"spec": GenerationSpec.from_dict(values["spec"])})

    @classmethod
    def load(cls, path: str | Path) -> "GenerationRecord":
        """Read the record of the video (or the JSON) at `path`. FileNotFoundError, or ValueError naming the file."""
        path = existing(Path(path).with_suffix(".json"), "a video's record is next to it, with the same name")
        try:
            return cls.from_json(read_text(path))
        except ValueError as error:
            raise ValueError(f"{named(path)}: {error}") from error


def frames_hash(frames: np.ndarray) -> str:
    """SHA-256 of a video's shape and pixels, uint8 [f h w 3]: equal hashes mean equal videos. ValueError: frames.

    Another processor or number of threads may change a value by one grey level, and so the hash: compare the frames.
    """
    frames = np.ascontiguousarray(checking.frames(frames))
    return hashlib.sha256(str(frames.shape).encode() + frames.tobytes()).hexdigest()


def _known(cls, values: dict) -> dict:
    """`values`, if its keys fit the dataclass `cls`. ValueError."""
    checking.kind(cls.__name__, values, dict, "a table of fields")
    names = [field.name for field in fields(cls)]
    unknown = [key for key in values if key not in names]
    if unknown:
        raise ValueError(f"{cls.__name__} has no {checking.listed(*unknown)}: it has {', '.join(names)}.")
    missing = [name for name in names if name not in values and not hasattr(cls, name)]
    if missing:
        raise ValueError(f"{cls.__name__} needs {', '.join(missing)}: add the missing fields.")
    return values


def _check_types(record) -> None:
    """Check each field's type. An int may be a float; a bool is neither; numpy's numbers become Python's, for JSON."""
    for field in fields(record):
        value = getattr(record, field.name)
        kinds = getattr(field.type, "__args__", (field.type,))
        allowed = kinds + (int,) if float in kinds else kinds
        if type(plain := _plain(value, kinds)) is not type(value):
            value = plain
            object.__setattr__(record, field.name, value)
        if not isinstance(value, allowed) or isinstance(value, bool):
            words = " or ".join(_WORDS.get(kind, kind.__name__) for kind in kinds)
            raise ValueError(
                f"{field.name}={checking.shown(value)} is a {type(value).__name__}, but {words} is needed."
            )


def _plain(value, kinds: tuple):
    """numpy's numbers and texts as Python's, and 4 as 4.0 where a number is needed: equal specs have equal JSON."""
    if isinstance(value, np.str_):
        return str(value)
    if float in kinds and isinstance(value, np.floating):
        return float(value)
    if {int, float} & {*kinds} and isinstance(value, Integral) and not isinstance(value, bool):
        return float(value) if float in kinds and abs(value) <= 2**53 else int(value)
    return value
