"""What tells one network from another: its weights, its settings, what hooks it, and how exactly torch multiplies.

    digest = hashlib.sha256(told(predictor).encode())
    add_network(digest, "unet", pipe.unet)

All that a user can change in memory is told, whether or not it changes what comes out, so that two videos of one
fingerprint were made alike. Of a tensor all bytes are hashed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from numbers import Real
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SAME = ("training", "use_slicing", "gradient_checkpointing")  # settings of a layer that change nothing (no dropout)
THEIRS = ("transformers.", "diffusers.")  # hooks that keep outputs, attentions that compute the same in another order


def add_network(digest: Any, name: str, network: nn.Module) -> None:
    """Hash each tensor of a network, under its name and with its shape, and what no tensor of a layer shows."""
    tensors = network.state_dict() | dict(network.named_buffers())  # no state_dict has the buffers that are not saved
    with ThreadPoolExecutor() as pool:  # a large model has gigabytes, and Python's lock is free while they are hashed
        for key, found in zip(tensors, pool.map(_of_tensor, tensors.values()), strict=True):
            digest.update(f"{name} {key} {found}".encode())
    for key, layer in network.named_modules():
        digest.update(f"{key} {_of_layer(layer)}".encode())


def everywhere() -> list[str]:
    """What holds for every network: how exactly torch multiplies, and hooks on all modules.

    torch's older functions fail where the precision was set by its new name, as each backend's `fp32_precision`.
    """
    cuda, cpu, cudnn = torch.backends.cuda.matmul, torch.backends.mkldnn, torch.backends.cudnn
    exact = [cuda.fp32_precision, cpu.matmul.fp32_precision, cpu.conv.fp32_precision, cudnn.conv.fp32_precision]
    hooks = nn.modules.module._global_forward_hooks, nn.modules.module._global_forward_pre_hooks
    return ["ieee" if one == "none" else one for one in exact] + _of_hooks(*hooks)


def told(held: object, depth: int = 4) -> str:
    """A function or an object by its name and by what it holds: numbers, texts and tensors, `depth` levels down.

    Two of one name may differ in that alone: a lambda, a closure, a partial. Of a network inside, the class is told.
    """
    if held is None or isinstance(held, Real | str | bytes):
        return repr(held)
    if _is_array(held):
        return _of_tensor(torch.as_tensor(held))
    if _is_plain(held):
        return repr(held)
    kind = held if hasattr(held, "__qualname__") else type(held)
    inside = _inside(held)[:100] if depth else ()
    return f"{kind.__module__}.{kind.__qualname__}({', '.join(told(one, depth - 1) for one in inside)})"


def _inside(held: object) -> Sequence:
    if isinstance(held, partial):
        return [held.func, *held.args, held.keywords]
    if isinstance(held, Mapping):
        return sorted(held.items(), key=str)
    if isinstance(held, list | tuple):
        return held
    if code := getattr(held, "__code__", None):
        own = _of_code(code) if "<" in held.__qualname__ or held.__module__ == "__main__" else []  # of a notebook
        numbers = [one for one in code.co_consts if isinstance(one, Real)]
        cells = [cell.cell_contents for cell in held.__closure__ or ()]
        return [*own, *numbers, held.__defaults__, *cells]
    return [] if isinstance(held, nn.Module) else sorted(getattr(held, "__dict__", {}).items())


def _of_code(code: CodeType) -> list:
    """What a function does, with the functions in it."""
    constants = [_of_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return [code.co_code, code.co_names, constants]


def _of_layer(layer: nn.Module) -> list:
    """Its settings, a LoRA that is off, its hooks, and a `forward` or an attention of one's own."""
    settings = {key: value for key, value in vars(layer).items() if key[0] != "_" and key not in SAME}
    plain = sorted((key, told(value)) for key, value in settings.items() if _is_plain(value) or _is_array(value))
    own, attention = vars(layer).get("forward"), getattr(layer, "processor", None)
    in_pieces = hasattr(getattr(own, "func", None), "changes_nothing")  # by a plan for little memory
    forward = "" if in_pieces or hasattr(layer, "_hf_hook") else _own(own)  # accelerate's moves parts to and fro
    hooks = _of_hooks(layer._forward_hooks, layer._forward_pre_hooks)
    kind, off = type(layer).__qualname__, getattr(layer, "_disable_adapters", False)
    return [kind, plain, off, hooks, forward, _own(attention)]


def _is_plain(value: object) -> bool:
    """A number, a text, or some of them, which print alike whenever they are the same; None is as if it were not."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if isinstance(value, list | tuple) else isinstance(value, Real | str)


def _of_hooks(*tables: Mapping) -> list[str]:
    return [one for table in tables for hook in table.values() if (one := _own(hook))]


def _own(held: object) -> str:
    """The same as `told`, but nothing for what a library has put there."""
    module = getattr(held, "__module__", None) or ""
    return "" if held is None or module.startswith(THEIRS) else told(held)


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _of_tensor(tensor: Tensor) -> str:
    """Its type, its shape and the hash of its bytes, which are the same on every device."""
    memory = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(memory).hexdigest()}"
