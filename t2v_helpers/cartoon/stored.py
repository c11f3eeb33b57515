"""The small networks that read drawings, as files: fp16 safetensors, with a header that says how they were trained.

Both are made of `block`s.
"""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import nn

from t2v_helpers.core import files, tensors

Network = TypeVar("Network", bound=nn.Module)


def save(network: nn.Module, path: Path, about: dict[str, str] | None = None) -> None:
    """Write the weights, whole or not at all; `about` goes into the header. Errors: see files.write_whole."""
    state = {name: x.half().contiguous() for name, x in network.state_dict().items()}
    files.write_whole(path, lambda temporary: save_file(state, str(temporary), metadata=about))


def load(network: Network, path: Path) -> Network:
    """`network` with the weights of `path`, in eval mode. Errors: FileNotFoundError; ValueError for another network."""
    name = type(network).__name__.lower()
    where = files.named(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{where} does not exist; train a {name} with: t2v train {name}")
    try:
        network.load_state_dict(tensors.read([path], network.state_dict(), torch.float32))
    except ValueError as error:
        why = files.reason(error)
        raise ValueError(f"{where} does not fit this {name} ({why}); train it again with: t2v train {name}") from error
    return network.eval()


def block(ins: int, outs: int, stride: int, conv: type[nn.Module] = nn.Conv2d) -> nn.Sequential:
    """A convolution of kernel 3, a group norm of eight channels a group, and a ReLU."""
    layer = conv(ins, outs, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.GroupNorm(outs // 8, outs), nn.ReLU(inplace=True))
