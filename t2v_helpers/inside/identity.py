"""What tells one pipeline from another: weights, settings, hooks, what is put in place of a method, how words are cut
into tokens, and how exactly torch multiplies.

    known = names({"unet": pipe.unet})
    digest = hashlib.sha256(told(predictor, known=known).encode())
    add_network(digest, "unet", pipe.unet, known)

All that a user can change in memory is told, whether or not it changes what comes out, so that two videos of one
fingerprint were made alike. Of a tensor all bytes are hashed, each time: a digest cannot be kept, since a write through
`tensor.data` or numpy changes the bytes and leaves the tensor's identity, address and version as they were.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from numbers import Real
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SAME = ("training", "use_slicing", "gradient_checkpointing")  # settings of a layer that change nothing (no dropout)
THEIRS = ("transformers.", "diffusers.")  # hooks that keep outputs
ORDERS = (  # of the sums of attention, which all compute the same; another of diffusers' may not: PAG leaves it out
    "AttnProcessor", "AttnProcessor2_0", "SlicedAttnProcessor", "FusedAttnProcessor2_0", "XFormersAttnProcessor",
)  # fmt: skip
LIBRARIES = ("t2v_helpers", "torch", "diffusers", "transformers", "peft", "accelerate", "huggingface_hub", "numpy",
             "typing_extensions")  # fmt: skip
CUTTING = ("model_max_length", "pad_token", "padding_side", "truncation_side", "split_special_tokens")
INNER = vars(nn.Module()).keys()  # what torch keeps in each layer, none of it in place of a method
Names = dict[int, str]  # id of a layer -> its name, for those that are told of already


def names(networks: Mapping[str, nn.Module]) -> Names:
    """The names of all layers, by which `told` tells one that a function holds: that of a patched method often does."""
    return {id(x): f"{name} {key}" for name, network in networks.items() for key, x in network.named_modules()}


def add_network(digest: Any, name: str, network: nn.Module, known: Names | None = None) -> None:
    """Hash each tensor of a network, under its name and with its shape, and what no tensor of a layer shows."""
    known = names({name: network}) if known is None else known
    tensors = network.state_dict() | dict(network.named_buffers())  # no state_dict has the buffers that are not saved
    with ThreadPoolExecutor() as pool:  # a large model has gigabytes, and Python's lock is free while they are hashed
        for key, found in zip(tensors, pool.map(_of_tensor, tensors.values()), strict=True):
            digest.update(f"{name} {key} {found}".encode())
    for key, layer in network.named_modules():
        digest.update(f"{key} {_of_layer(layer, known)}".encode())
    if found := swapped(type(one) for x in network.modules() for one in (x, getattr(x, "processor", None))):
        digest.update(str(found).encode())


def everywhere() -> list[str]:
    """What holds for every network: how exactly torch multiplies, hooks on all modules, functions put in torch's place.

    torch's older functions fail where the precision was set by its new name, as each backend's `fp32_precision`.
    """
    cuda, cpu, cudnn = torch.backends.cuda.matmul, torch.backends.mkldnn, torch.backends.cudnn
    exact = [cuda.fp32_precision, cpu.matmul.fp32_precision, cpu.conv.fp32_precision, cudnn.conv.fp32_precision]
    hooks = nn.modules.module._global_forward_hooks, nn.modules.module._global_forward_pre_hooks
    others = _foreign([*vars(torch).items(), *vars(functional).items()])
    return ["ieee" if one == "none" else one for one in exact] + _of_hooks(*hooks, known={}) + others


def of_tokenizer(tokenizer: Any) -> list:
    """How words become tokens. Where the last call cut and padded is left out: each call sets that anew."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend else sorted(tokenizer.get_vocab().items())
    if backend:
        del rules["truncation"], rules["padding"]
    return [rules, *(getattr(tokenizer, name, None) for name in CUTTING), patches(tokenizer, {})]


def patches(held: object, known: Names) -> list[tuple[str, str]]:
    """What stands in an object in place of a method of its class: pipe.decode_latents = ..., pipe.vae.decode = ..."""
    found = []
    for name in sorted(vars(held).keys() - INNER):
        if callable(method := getattr(type(held), name, None)):
            own = _beneath(held, vars(held)[name])
            if own not in (method, MethodType(method, held)):  # which a `with` may have put back
                found.append((name, told(own, known=known)))
    return found


def swapped(kinds: Iterable[type]) -> list[str]:
    """What a user has put in place of a method of a library's class: UNet3DConditionModel.forward = mine."""
    theirs = {one for kind in kinds for one in kind.__mro__ if not _is_users(one)}
    return [one for kind in sorted(theirs, key=told) for one in _foreign(vars(kind).items())]


def _foreign(items: Iterable[tuple[str, Any]]) -> list[str]:
    """Those of a library's functions that are a user's."""
    bare = ((name, _bare(value)) for name, value in items)
    found = [(name, value) for name, value in bare if isinstance(value, FunctionType | partial) and _is_users(value)]
    return [f"{name} {told(value)}" for name, value in sorted(found, key=lambda item: item[0])]


def _bare(value: object) -> object:
    """The function in a property, or in what a class has for its own or for no object."""
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    return value.fget if isinstance(value, property) else value


def _is_users(held: object) -> bool:
    """Whether it is of a notebook, a file of the user's, or a package that the course does not know."""
    module = getattr(getattr(held, "func", held), "__module__", None) or "builtins"
    root = module.partition(".")[0]
    return root not in LIBRARIES and (root == "__main__" or root not in sys.stdlib_module_names)


def told(held: object, depth: int = 4, known: Names | None = None) -> str:
    """A function or an object by its name and by what it holds: numbers, texts and tensors, `depth` levels down.

    Two of one name may differ in that alone: a lambda, a closure, a partial, the method of another network. A network
    inside is told as a whole, or by its name where it is among the `known`.
    """
    known = {} if known is None else known
    if held is None or isinstance(held, Real | str | bytes | torch.dtype | torch.device):
        return repr(held)
    if isinstance(held, Tensor | np.ndarray):
        return _of_tensor(torch.as_tensor(held, device="cpu"))  # whatever torch's default device is
    if _is_plain(held):
        return repr(held)
    if isinstance(held, nn.Module):
        return _of_network(held, known)
    kind = held if hasattr(held, "__qualname__") else type(held)
    pair = isinstance(held, tuple)  # a name with its value is no level of its own
    inside = [told(one, depth - (not pair), known) for one in _inside(held)] if depth or pair else []
    if isinstance(held, Mapping | Set):  # sorted here: to sort what they hold, a network would print all of its layers
        inside.sort()
    return f"{getattr(kind, '__module__', '')}.{kind.__qualname__}({', '.join(inside)})"


def _of_network(network: nn.Module, known: Names) -> str:
    if id(network) not in known:
        known |= names({f"another, the {len(known)}.": network})  # the caller's, too: it is told of once
        digest = hashlib.sha256()
        add_network(digest, "", network, known)
        return digest.hexdigest()
    return known[id(network)]


def _inside(held: object) -> Sequence:
    if isinstance(held, partial):
        return [held.func, *held.args, held.keywords]
    if isinstance(held, Mapping | list | tuple | Set):
        return [*held.items()] if isinstance(held, Mapping) else [*held]
    if isinstance(held, MethodType):
        return [held.__self__, *_inside(held.__func__)]
    if isinstance(held, FunctionType):
        return _of_function(held)
    if isinstance(held, type):
        return _of_class(held)
    return [held.__name__] if isinstance(held, ModuleType) else _of_object(held)


def _of_function(held: FunctionType) -> list:
    """Its numbers, defaults and closure; of a user's, what it does, and the variables of the page that it reads."""
    code, own = held.__code__, []
    if "<" in held.__qualname__ or _is_users(held):
        own = [_of_code(code)]
    if _is_users(held):
        page = held.__globals__
        own += [(name, page[name]) for name in sorted(_names(code)) if name in page and _is_told(page[name])]
    numbers = [one for one in code.co_consts if isinstance(one, Real)]
    cells = [cell.cell_contents for cell in held.__closure__ or ()]
    return [*own, *numbers, held.__defaults__, held.__kwdefaults__, *cells]


def _of_object(held: object) -> list:
    """What its class does and what it holds; of a pipeline its networks alone, as the rest has paths and changes."""
    slots = [name for kind in type(held).__mro__ for name in vars(kind).get("__slots__", ())]
    values = {name: getattr(held, name) for name in slots if hasattr(held, name)} | getattr(held, "__dict__", {})
    if hasattr(type(held), "components"):
        values = {name: value for name, value in values.items() if isinstance(value, nn.Module)}
    return _of_class(type(held)) + sorted(values.items())


def _of_class(kind: type) -> list:
    """What a class does that a user defines, who may define another one of its name."""
    own = [item for one in kind.__mro__ if _is_users(one) for item in sorted(vars(one).items())]
    own = [(name, _bare(value)) for name, value in own]
    functions = [f"{name} {_of_code(value.__code__)}" for name, value in own if hasattr(value, "__code__")]
    return functions + [(name, value) for name, value in own if name[:2] != "__" and _is_plain(value)]


def _of_code(code: CodeType) -> str:
    """What a function does, with the functions in it."""
    constants = [_of_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return repr([code.co_code, code.co_names, constants])


def _names(code: CodeType) -> set[str]:
    return {*code.co_names}.union(*(_names(one) for one in code.co_consts if isinstance(one, CodeType)))


def _of_layer(layer: nn.Module, known: Names) -> list:
    """Its settings, a LoRA that is off, its hooks, and a method or an attention of one's own."""
    kind = type(layer)
    others = {name for name in vars(layer) if name[0] == "_" or callable(getattr(kind, name, None))}
    settings = {name: vars(layer)[name] for name in sorted(vars(layer).keys() - others - {*SAME, "processor"})}
    plain = [(name, told(value, known=known)) for name, value in settings.items() if _is_told(value)]
    hooks = _of_hooks(layer._forward_hooks, layer._forward_pre_hooks, known=known)
    off, attention = getattr(layer, "_disable_adapters", False), getattr(layer, "processor", None)
    return [kind.__qualname__, _of_class(kind), plain, off, hooks, patches(layer, known), _processor(attention, known)]


def _processor(attention: object, known: Names) -> str:
    """An attention of one's own, or of diffusers' that is not the plain one."""
    plain = type(attention).__module__.startswith(THEIRS) and type(attention).__name__ in ORDERS
    return "" if attention is None or plain else told(attention, known=known)


def _beneath(layer: object, held: Any) -> Any:
    """The function around which a plan for little memory has put its own: to go in pieces, or to move parts about."""
    func = getattr(held, "func", None)
    if hasattr(func, "changes_nothing"):
        return held.args[0]
    moves = (getattr(func, "__module__", None) or "").startswith("accelerate.")
    return _beneath(layer, layer._old_forward) if moves else held


def _is_told(value: object) -> bool:
    """Numbers, texts, tensors, functions, or lists of them."""
    if isinstance(value, Mapping):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        return all(one is None or _is_told(one) for one in value)
    return isinstance(value, Real | str | Tensor | np.ndarray) or callable(value)


def _is_plain(value: object) -> bool:
    """A number, a text, or some of them, which print alike whenever they are the same; None is as if it were not."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, [*value.keys(), *value.values()]))
    return all(map(_is_plain, value)) if isinstance(value, list | tuple) else isinstance(value, Real | str)


def _of_hooks(*tables: Mapping, known: Names) -> list[str]:
    """The hooks, but for those that a library has put there."""
    hooks = (hook for table in tables for hook in table.values())
    users = (hook for hook in hooks if not (getattr(hook, "__module__", None) or "").startswith(THEIRS))
    return [told(hook, known=known) for hook in users]


def _of_tensor(tensor: Tensor) -> str:
    """Its type, its shape and the hash of its bytes, which are the same on every device."""
    memory = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(memory).hexdigest()}"
