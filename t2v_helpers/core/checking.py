"""Refuse a bad argument before anything is computed, and always in the same words:

    steps=0 is not allowed: use a whole number from 1 to 1000.
    scheduler='ddin' is unknown: did you mean 'ddim'? Use one of: ddim, dpm++, lms, pndm.

Each check returns the value, so that it can be used in place.
"""

import math
import reprlib
import shutil
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from t2v_helpers.core import files

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 120
_OF_FRACTIONS = "of fractions x from 0 to 1, (255 * x).round().astype(np.uint8)"
_LONGEST = 500  # characters of lists in lists, of which each is short


def shown(value: Any) -> str:
    """repr(value), with its middle left out where it is long: a message is one sentence, whatever was given."""
    try:
        text = " ".join(_BRIEF.repr(value).splitlines())
    except ValueError:  # Python writes out no whole number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}...{text[-_LONGEST // 2 :]}"


def listed(*names: object) -> str:
    """Names of keys or options as `shown` without quotes: the first eight, and how many more there are."""
    more = f" and {len(names) - 8} more" * (len(names) > 8)
    return ", ".join(shown(str(name))[1:-1] for name in names[:8]) + more


def difference(there: dict, here: dict, names: Iterable[str]) -> str:
    """The first of the values with these names that is another there, as words in brackets; "" if none is."""
    for name in names:
        if there.get(name, ...) != here.get(name, ...):
            return f"its {listed(name)} is {_in_short(there.get(name))}, and here it is {_in_short(here.get(name))}"
    return ""


def _in_short(value: Any) -> str:
    if not isinstance(value, list):
        return shown(value)
    if len(value) <= 4:
        return ", ".join(map(shown, value))
    return f"{', '.join(map(shown, value[:2]))} ... {shown(value[-1])} ({len(value)} values)"


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """`value` as a plain int. ValueError unless it is a whole number from `least` to `most`; a bool is not one."""
    if (
        isinstance(value, bool)
        or not isinstance(value, Integral)
        or value < least
        or (most is not None and value > most)
    ):
        allowed = f"from {least} to {most}" if most is not None else f"of {least} or more"
        raise ValueError(f"{name}={shown(value)} is not allowed: use a whole number {allowed}.")
    return int(value)


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """`value` as a plain float. ValueError unless it is a finite number from `least` to `most`."""
    finite = sys.float_info.max
    if isinstance(value, bool) or not isinstance(value, Real) or not max(least, -finite) <= value <= min(most, finite):
        limits = f" from {least:g}" * (least > -math.inf) + f" to {most:g}" * (most < math.inf)
        raise ValueError(f"{name}={shown(value)} is not allowed: use a number{limits}.")
    return float(value)


def one_of(name: str, value: Any, allowed: Iterable, hint: str = "", meant: str = "") -> Any:
    """`value`, if it is among `allowed`. ValueError: what was probably meant (`meant`, or by spelling), and all."""
    allowed = list(allowed)
    if not any(type(value) is type(each) and value == each for each in allowed):
        names = {str(each).lower(): str(each) for each in allowed}
        near = get_close_matches(shown(value).strip("'").lower(), names, n=1)
        meant = meant or "".join(names[key] for key in near)
        guess = f"did you mean {meant!r}? " if meant else ""
        choices = hint or f"Use one of: {', '.join(map(str, allowed))}."
        raise ValueError(f"{name}={shown(value)} is unknown: {guess}{choices}")
    return value


def kind(name: str, value: Any, kinds: type | tuple[type, ...], needed: str) -> Any:
    """`value`, if it is of one of `kinds`. ValueError: its type, and what is `needed` ("a list of prompts")."""
    if not isinstance(value, kinds):
        raise ValueError(f"{name} is of type {type(value).__name__}: use {needed}.")
    return value


def several(name: str, value: Any, needed: str) -> list:
    """The parts of `value`, a list, an array or a range. ValueError: it is one thing; what is `needed`."""
    try:
        return list(value)
    except TypeError as error:  # asked by trying, since numpy's and torch's single numbers are arrays, too
        raise ValueError(f"{name}={shown(value)} is no list: use {needed}.") from error


def path(name: str, value: Any) -> Path:
    """`value` as a Path. ValueError: it is no path, or an empty text, which would be the current folder."""
    if value == "":
        raise ValueError(f"{name} is empty: use the path of a folder, such as '.' for the current one.")
    return Path(kind(name, value, (str, Path), "the path of a folder"))


def frames(value: Any, name: str = "frames", least: int = 1) -> np.ndarray:
    """A video as an array uint8 [f h w 3] of at least `least` frames; a tensor or a list of frames is converted.

    ValueError: another type or shape, frames of different sizes, too few frames, a tensor that is not on the CPU.
    """
    video = pixels(name, value, "f h w 3")
    if len(video) < least:
        raise ValueError(f"{name} has {len(video)} frames: use {least} or more.")
    return video


def pixels(name: str, value: Any, axes: str) -> np.ndarray:
    """`value` as an array uint8 [axes], such as "h w 3" or "... h w 3", that is not empty. ValueError: it is not."""
    try:
        array = np.asarray(value)
    except (RuntimeError, TypeError, ValueError) as error:  # a ragged list; a tensor with a gradient, or on a GPU
        ragged = isinstance(value, list | tuple)
        why = "its parts differ in size" if ragged else listed(str(error).split("\n")[0].rstrip("."))
        raise ValueError(f"{name} is not an array ({why}): use uint8 [{axes}], on the CPU.") from error
    missing = len(axes.split()) - array.ndim
    fits = missing <= 1 if axes.startswith("...") else missing == 0
    if array.dtype != np.uint8 or not fits or array.shape[-1] != 3 or not array.size:
        found = f"{array.dtype} {list(array.shape)}"
        raise ValueError(f"{name} is {found}: use uint8 [{axes}], the .frames of what was generated; {_OF_FRACTIONS}.")
    return array


def suffix(name: str, path: str | Path, *allowed: str) -> None:
    """ValueError unless `path` ends in one of `allowed`, such as ".mp4"."""
    if Path(path).suffix.lower() not in allowed:
        endings = " or ".join(allowed)
        raise ValueError(f"{name}={shown(str(path))} does not end in {endings}: give the file that ending.")


def room_on_disk(path: str | Path, needed: int, what: str) -> None:
    """OSError where the disk of `path` has fewer than `needed` free bytes for `what`; the path need not exist yet."""
    path = Path(path).absolute()
    free = shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.exists())).free
    if free < needed:
        raise OSError(
            f"{what} needs {needed / 2**30:.1f} GiB in {files.named(path)}, but {free / 2**30:.1f} are free: "
            "delete something there, or choose another folder."
        )


def replaceable(folder: str | Path, mark: str, what: str, *kept: Path, known: Iterable[str] = ()) -> None:
    """Check before a long computation that `what` may replace `folder`: a new or empty one, or one that holds `mark`.

    known: the names in such a folder; others would be gone. Errors: ValueError where it holds other files, the working
    folder, or one of `kept`; those of files.check_target.
    """
    place, instead = files.real(folder), f"Choose a new folder, or one with a {mark} in it."
    files.check_target(place / mark)
    lost = [path for path in kept if files.real(path).is_relative_to(place)]
    if Path.cwd().is_relative_to(place):
        why = "you are working in it"
    elif lost:
        why = f"{files.named(lost[0])} would be lost with it"
    elif place.exists() and any(place.iterdir()) and not (place / mark).is_file():
        why = f"it holds files, but no {mark}"
    elif known and (more := _others(place, known)):
        why, instead = f"{files.named(more[0])} is in it, too, and would be lost", "Choose a new folder."
    else:
        return
    raise ValueError(f"{what} cannot replace {shown(str(folder))}: {why}. {instead}")


def _others(folder: Path, known: Iterable[str]) -> list[str]:
    """The names in a folder that are not `known`, without those of this package and of macOS."""
    return sorted({path.name for path in folder.glob("*")} - {*known, files.WRITING, ".DS_Store"})
