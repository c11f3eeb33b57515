"""Read safetensors: each tensor from the one file whose header names it, whatever an index beside the files says.

No other format is opened. The headers are checked first, which takes milliseconds whatever the size: names, shapes,
and that the numbers are floats. A tensor that is missing would keep random values, and one in two files any of two.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from t2v_helpers.core.files import check_link, named, reason

MOST_AXES = 8
FLOATS = ("F16", "BF16", "F32", "F64")  # float8 and int8 mean nothing without scales, which no file here has


@contextmanager
def opened(path: str | Path, ours: bool = False) -> Iterator[safe_open]:
    """A safetensors file. ValueError: it is no file (a pipe would never end), a link out of its folder, or damaged.

    ours: it was made here and may be a link to anywhere; the error says "it", for who opens it to name.
    """
    what = "it" if ours else named(path)
    if not ours:
        check_link(path)
    if not Path(path).is_file():
        raise ValueError(f"{what} is not a file.")
    try:
        with safe_open(str(path), "pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{what} is cut short or damaged ({reason(error)}).") from error


def about(path: str | Path) -> dict[str, str]:
    """The texts in a file's header. ValueError: see `opened`."""
    with opened(path) as file:
        return file.metadata() or {}


def find(paths: Sequence[Path], today: Callable[[str], str | None] = str) -> dict[str, tuple[Path, str, Tensor]]:
    """Name -> its file, its name there, and a tensor of its shape without values.

    today: the name by which a stored tensor is known, or None where it is not needed.
    ValueError: those of `opened`; a tensor is in two files, of whole numbers, or of a shape that no weights have.
    """
    found: dict[str, tuple[Path, str, Tensor]] = {}
    for path in paths:
        with opened(path) as file:
            for stored in file.keys():  # noqa: SIM118  no mapping
                name, part = today(stored), file.get_slice(stored)
                if name is None:
                    continue
                if name in found:
                    raise ValueError(f"{named(stored)} is in {found[name][0].name} and again in {path.name}: keep one.")
                _check_kind(f"{named(stored)} in {path.name}", part.get_dtype(), part.get_shape())
                found[name] = path, stored, torch.empty(part.get_shape(), device="meta")
    return found


def _check_kind(what: str, dtype: str, shape: Sequence[int]) -> None:
    """ValueError for whole numbers, and for shapes that a header can name without a byte of data for them."""
    if dtype not in FLOATS:
        raise ValueError(f"{what} is {dtype}, and not of {', '.join(FLOATS)}.")
    if 0 in shape or len(shape) > MOST_AXES:
        why = "holds no numbers" if 0 in shape else f"has {len(shape)} axes, but {MOST_AXES} are the most"
        raise ValueError(f"{what} {why}.")


def check(found: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> None:
    """ValueError that names the first tensor that is missing, has the wrong shape or is not needed."""
    for key, x in needed.items():
        has = f"has shape {list(found[key].shape)}" if key in found else "is missing"
        if has != f"has shape {list(x.shape)}":
            raise ValueError(f"{key} {has} in the weights, but the configuration needs shape {list(x.shape)}.")
    for key in found.keys() - needed.keys():
        shape = list(found[key].shape)
        raise ValueError(f"{named(key)} of shape {shape} is in the weights, but the configuration has no place for it.")


def read(
    paths: Sequence[Path],
    needed: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    today: Callable[[str], str | None] = str,
) -> dict[str, Tensor]:
    """The tensors of the files, copied, in `dtype` (None: as stored): exactly those `needed` (None: all there are).

    ValueError: those of `find` and `check`; a value is NaN or infinite, perhaps only in `dtype`.
    """
    found = find(paths, today)
    if needed is not None:
        check({name: shape for name, (_, _, shape) in found.items()}, needed)
    values = {}
    for path in paths:
        with opened(path) as file:
            mine = {name: stored for name, (where, stored, _) in found.items() if where == path}
            for name, stored in mine.items():
                x = file.get_tensor(stored)
                values[name] = _finite(f"{named(stored)} in {path.name}", x.to(dtype or x.dtype, copy=True))
    return values


def _finite(what: str, x: Tensor) -> Tensor:
    if x.numel() and not torch.stack(torch.aminmax(x)).isfinite().all():
        raise ValueError(f"{what} holds NaN or infinity in {str(x.dtype).removeprefix('torch.')}.")
    return x
