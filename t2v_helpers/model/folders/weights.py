"""The weights of a folder: which files they are read from, whether they are whole, and the part that they fill.

They are Kind.stem*.safetensors alone (core/tensors.py). The checks read headers, which takes milliseconds whatever the
size; `part` then reads the rest.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from t2v_helpers.core import tensors
from t2v_helpers.core.files import reason
from t2v_helpers.core.importing import quickly
from t2v_helpers.model.folders.rules import LIBRARY_ERRORS, Kind, config_of, damaged

with quickly():
    from accelerate import init_empty_weights


def files_of(folder: Path, kind: Kind, variant: str | None) -> list[Path]:
    """The files that the weights of a part are read from, and no others; empty where there are none.

    An index beside them is not read: the headers say which tensor is where, whichever of them has it.
    """
    half, shard = r"\.fp16" if variant else "", r"(-\d{5}-of-\d{5})?"
    name = re.compile(rf"{kind.stem}({shard}{half}|{half}{shard})\.safetensors")
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name))


def variant(folder: Path, dtype: torch.dtype, parts: Mapping[str, Kind]) -> str | None:
    """ "fp16" or None: the weights stored in the size of `dtype` where there are both, else those that are there."""
    for kind in ("fp16", None) if dtype.itemsize == 2 else (None, "fp16"):
        if all(files_of(folder / part, of, kind) for part, of in parts.items()):
            return kind
    raise damaged(f"{folder} has no complete set of safetensors weights, and pickles are not opened")


def bare(kind: Kind, config: dict, where: object = "") -> torch.nn.Module:
    """The part without weights, on the meta device. ValueError: sizes that do not fit one another."""
    try:
        with torch.device("meta"), torch.no_grad():
            made = kind.build(**config).eval()
            _try(kind, made)
            return made
    except LIBRARY_ERRORS as error:
        raise damaged(f"{where or kind.name} has a config that does not work ({reason(error)})") from error


def _try(kind: Kind, empty: torch.nn.Module) -> None:
    """Compute the shapes of a part on the meta device, where its kind says how: some libraries check none before."""
    if kind.trial:
        kind.trial(empty)


def check_weights(folder: Path, kind: Kind, variant: str | None, empty: torch.nn.Module) -> None:
    """ValueError unless the headers have exactly the tensors of `empty`, the part without weights, in its shapes."""
    with _fitting(folder, kind):
        found = tensors.find(files_of(folder, kind, variant), kind.today)
        tensors.check({name: shape for name, (_, _, shape) in found.items()}, _needed(kind, empty))


def part(
    folder: Path, kind: Kind, dtype: torch.dtype, variant: str | None, config: dict, empty: torch.nn.Module
) -> torch.nn.Module:
    """The part in a folder, on the CPU in eval mode; `empty`, which is `bare` of the config, gets the weights.

    ValueError: see `check_weights`; a value that is not finite.
    """
    with _fitting(folder, kind):
        values = tensors.read(files_of(folder, kind, variant), _needed(kind, empty), dtype, kind.today)
    made = empty
    if _computes(empty):
        with torch.device("cpu"), init_empty_weights(include_buffers=False):
            made = kind.build(**config)
    made.load_state_dict({name: values[kind.today(name)] for name in made.state_dict()}, assign=True)
    return made.eval()


def _computes(empty: torch.nn.Module) -> bool:
    """Whether a part has tensors that no file holds: they are computed as it is built, which gives none on meta."""
    stored, own = empty.state_dict().keys(), (value for each in empty.modules() for value in vars(each).values())
    return bool(dict(empty.named_buffers()).keys() - stored) or any(isinstance(value, torch.Tensor) for value in own)


def read_alone(folder: Path, kind: Kind, dtype: torch.dtype) -> torch.nn.Module:
    """The part in a folder that holds no others, as `part` gives it. ValueError: those of `config_of` and `part`."""
    config = config_of(folder, kind)
    return part(folder, kind, dtype, variant(folder, dtype, {"": kind}), config, bare(kind, config, folder))


def _needed(kind: Kind, empty: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {kind.today(name): tensor for name, tensor in empty.state_dict().items()}


@contextmanager
def _fitting(folder: Path, kind: Kind) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise damaged(f"{folder} does not fit its config (of {kind.name}: {str(error)[:-1]})") from error
