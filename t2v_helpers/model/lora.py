"""LoRA: train a few new weights next to frozen layers, so that a model learns something new (this module wraps peft).

    add(pipe, rank=4)                       # in the spatial transformers; nothing changes yet, since B = 0
    save(pipe, "outputs/sepia", ["sepia"])  # A and B alone, with the words that they teach
    load(loading.load("cartoon"), "outputs/sepia")
    with scaled(pipe, 0.5): ...             # half of what was learned

A linear layer y = W x becomes y = W x + scale (alpha / r) B A x with A [r in] and B [out r]; W is frozen (Hu et al.
2021, arXiv 2106.09685, section 4.1). diffusers' `pipe.load_lora_weights` does not support this UNet, so peft is used
directly. The folder has peft's own format: `PeftModel.from_pretrained(unet, folder)` opens it without this module.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoRALinear
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from t2v_helpers.core import checking, files, seeding
from t2v_helpers.inside import unet_config
from t2v_helpers.model import folder_checks
from t2v_helpers.model.pipeline import course_pipeline

SPATIAL = r".*\.attentions\..*\.(to_q|to_k|to_v|to_out\.0|proj|net\.2|proj_in|proj_out)"
NAME = "lora"  # of the adapter, in peft
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SAME = 1e-3  # relative difference of a layer's norm: half precision changes it by less, another training by more
AGAIN = "give a folder that lora.save has written (notebook 07)"


# --- in the model


def matching(unet: nn.Module, layers: str = SPATIAL) -> dict[str, nn.Linear]:
    """The linear layers whose full name matches the regular expression `layers`.

    ValueError: not a regular expression, or no layer matches.
    """
    try:
        pattern = re.compile(layers)
    except (re.error, TypeError) as error:
        raise ValueError(f"layers={layers!r} is not a regular expression ({error}): correct it or omit it.") from error
    linear = _linear(unet)
    found = {name: layer for name, layer in linear.items() if pattern.fullmatch(name)}
    if not found:
        example = next(iter(linear), "none")
        raise ValueError(f"layers={layers!r} matches no linear layer: their names are as {example}.")
    return found


def _linear(unet: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in unet.named_modules() if isinstance(layer, nn.Linear)}


def add(pipe, rank: int = 4, alpha: float | None = None, layers: str = SPATIAL, seed: int = 0) -> list[nn.Parameter]:
    """Add A and B to each matching layer of the UNet, freeze all other weights, and return the trainable parameters.

    alpha: None means the rank, so that alpha / r is 1. A is drawn from `seed`, B is zero; both are float32.
    ValueError: not a pipeline, or it has a LoRA already; a rank below 1 or above a layer's size; alpha is not a number
    above 0; no layer matches; the seed (see seeding.check_seed).
    """
    check(pipe, rank, alpha, layers)
    seeding.check_seed(seed)
    names = sorted(matching(pipe.unet, layers))
    config = LoraConfig(r=rank, lora_alpha=rank if alpha is None else alpha, target_modules=names)
    pipe.unet.requires_grad_(False)
    seeding.seeded(seed, lambda: inject_adapter_in_model(config, pipe.unet, NAME))
    parameters = [p for p in pipe.unet.parameters() if p.requires_grad]
    for p in parameters:
        p.data = p.data.float()  # peft uses the base's dtype, and half precision loses small steps
    return parameters


def check(pipe, rank: int, alpha: float | None = None, layers: str = SPATIAL) -> None:
    """Validate the arguments of `add` before anything is changed. ValueError: see there."""
    pipe = course_pipeline(pipe)
    if added(pipe.unet):
        raise ValueError("pipe has a LoRA already: remove it with lora.remove(pipe), or load the model again.")
    if alpha is not None and checking.number("alpha", alpha) <= 0:
        raise ValueError(f"alpha={alpha!r} is not allowed: use a number above 0, or None for the rank.")
    if isinstance(rank, bool) or not isinstance(rank, Integral) or rank < 1:
        raise ValueError(f"rank={rank!r} is not allowed: use a whole number, 1 or more.")
    for name, layer in matching(pipe.unet, layers).items():
        size = min(layer.weight.shape)
        if rank > size:
            raise ValueError(f"rank={rank} is above {size}, the smaller side of {name}: use 1 to {size}.")


def added(unet: nn.Module) -> dict[str, LoRALinear]:
    """Name -> layer, for every layer with a LoRA; empty without one."""
    return {name: layer for name, layer in unet.named_modules() if isinstance(layer, LoRALinear)}


def remove(pipe) -> None:
    """Remove the LoRA and its words: the UNet is what it was before `add`. ValueError: there is no LoRA."""
    for name, layer in _of(pipe).items():
        pipe.unet.set_submodule(name, layer.get_base_layer())
    _forget(pipe)
    pipe.new_words = ()


def merge(pipe) -> None:
    """Add (alpha / r) B A to the weights W: the same videos, at no extra cost. ValueError: there is no LoRA."""
    for name, layer in _of(pipe).items():
        layer.merge()
        pipe.unet.set_submodule(name, layer.get_base_layer())
    _forget(pipe)


@contextmanager
def scaled(pipe, scale: float) -> Iterator[None]:
    """Multiply the LoRA's effect by `scale` inside the `with`: 0 is the model without it, 1 the LoRA as trained.

    ValueError: scale is not a finite number, or there is no LoRA.
    """
    checking.number("scale", scale)
    layers = _of(pipe).values()
    before = [dict(layer.scaling) for layer in layers]
    for layer in layers:
        layer.set_scale(NAME, scale)
    try:
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            layer.scaling.update(old)


def _of(pipe) -> dict[str, LoRALinear]:
    pipe = course_pipeline(pipe)
    found = added(pipe.unet)
    if not found:
        raise ValueError("pipe has no LoRA: make one with lora.add(pipe), or load one with lora.load(pipe, folder).")
    return found


def _forget(pipe) -> None:
    if hasattr(pipe.unet, "peft_config"):
        del pipe.unet.peft_config


# --- on the disk


def tensors(unet: nn.Module) -> dict[str, Tensor]:
    """A [r in] and B [out r] of every layer, copied to the CPU, under their names in peft's files."""
    return {key: x.detach().cpu().clone() for key, x in _matrices(unet).items()}


def _matrices(unet: nn.Module) -> dict[str, nn.Parameter]:
    return {
        _key(name, matrix): getattr(layer, matrix)[NAME].weight
        for name, layer in added(unet).items()
        for matrix in ("lora_A", "lora_B")
    }


def _key(layer: str, matrix: str) -> str:
    return f"base_model.model.{layer}.{matrix}.weight"


def save(pipe, folder: str | Path, words: Sequence[str] = ()) -> Path:
    """Write A and B to `folder`, whole or not at all; `words` are those that prompts may now use.

    The header of the weights has the model's name and the norm of each of its layers, by which `load` recognises it.
    Errors: ValueError (no LoRA; words is not a list of words), those of checking.replaceable.
    """
    pipe = course_pipeline(pipe)
    layers, folder = _of(pipe).values(), Path(folder)
    if isinstance(words, str) or not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"words={words!r} is not allowed: use a list of words, such as ['sepia'].")
    checking.replaceable(folder, CONFIG, "a LoRA")
    norms = [_norm(layer.get_base_layer()) for layer in layers]
    header = {"base_model": pipe.name, "base_norms": json.dumps(norms), "words": json.dumps(list(words))}
    files.replace_folder(folder, lambda new: _write(new, _config(pipe.unet), tensors(pipe.unet), header))
    return folder


def load(pipe, folder: str | Path) -> tuple[str, ...]:
    """Add the LoRA in `folder` to the pipeline, and return its words, which prompts may use from now on.

    Everything is checked before the pipeline is changed. Errors: FileNotFoundError (no such folder), ValueError (not a
    LoRA; damaged; made for another model; see `add`).
    """
    pipe = course_pipeline(pipe)
    folder = Path(folder)
    rank, alpha, names = _read_config(folder)
    header, stored = _read_weights(folder)
    layers = "|".join(map(re.escape, names))
    words = tuple(_listed(folder, header, "words", str))
    _check_base(pipe, header["base_model"], names, _listed(folder, header, "base_norms", Real))
    check(pipe, rank, alpha, layers)
    _check_tensors(folder, stored, rank, matching(pipe.unet, layers))
    add(pipe, rank, alpha, layers)
    for key, x in _matrices(pipe.unet).items():
        x.data.copy_(stored[key])
    pipe.new_words = words
    return pipe.new_words


def _config(unet: nn.Module) -> dict:
    """peft's configuration as plain JSON, with the full name of every layer."""
    config = unet.peft_config[NAME].to_dict() | {"inference_mode": True, "target_modules": list(added(unet))}
    return {key: value for key, value in config.items() if value is None or isinstance(value, str | Real | list)}


def _write(folder: Path, config: dict, weights: dict[str, Tensor], header: dict[str, str]) -> None:
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(weights, str(folder / WEIGHTS), metadata=header)
    files.write_manifest(folder)


def _read_config(folder: Path) -> tuple[int, float, list[str]]:
    """Rank, alpha and the names of the layers."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: {AGAIN}.")
    missing = [name for name in (CONFIG, WEIGHTS, files.MANIFEST) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} is no LoRA, {missing[0]} is missing: {AGAIN}.")
    files.check_manifest(folder)
    config = folder_checks.read(folder / CONFIG)
    rank, alpha, names = (config.get(key) for key in ("r", "lora_alpha", "target_modules"))
    listed = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    if config.get("peft_type") != "LORA" or not listed:
        raise ValueError(f"{folder / CONFIG} is not a LoRA with a list of layers: {AGAIN}.")
    return rank, alpha, names


def _read_weights(folder: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The header, and A and B of every layer."""
    try:
        with safe_open(str(folder / WEIGHTS), "pt") as file:
            header = file.metadata() or {}
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is cut short or damaged ({error}): {AGAIN}.") from error
    if not header.keys() >= {"base_model", "base_norms", "words"}:
        raise ValueError(f"{folder / WEIGHTS} does not say for which model it was made: {AGAIN}.")
    return header, stored


def _listed(folder: Path, header: dict[str, str], key: str, kind: type) -> list:
    """The list under `key` in the header. ValueError: not a list of `kind`."""
    try:
        values = json.loads(header[key])
    except ValueError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise ValueError(f"{folder / WEIGHTS} has no list under {key} in its header: {AGAIN}.")
    return values


def _check_base(pipe, name: str, layers: list[str], norms: list[float]) -> None:
    """ValueError unless the LoRA was trained on these very weights, whatever their model is called."""
    linear = _linear(pipe.unet)
    missing = [layer for layer in layers if layer not in linear]
    if missing:
        why = f"it has no layer {missing[0]}"
    elif len(norms) != len(layers) or not all(
        math.isclose(_norm(linear[layer]), norm, rel_tol=SAME) for layer, norm in zip(layers, norms, strict=True)
    ):
        why = "its weights are others"
    else:
        return
    raise ValueError(
        f"the LoRA was made for {name!r}, and this is {pipe.name!r} ({why}): "
        "load that model, or train the LoRA again on this one."
    )


def _check_tensors(folder: Path, stored: dict[str, Tensor], rank: int, layers: dict[str, nn.Linear]) -> None:
    """ValueError unless there is a finite A [r in] and B [out r] for every layer, and nothing else."""
    needed = {
        _key(name, matrix): torch.empty(shape, device="meta")
        for name, layer in layers.items()
        for matrix, shape in (("lora_A", (rank, layer.in_features)), ("lora_B", (layer.out_features, rank)))
    }
    try:
        unet_config.check_weights(stored, needed)
        if broken := [key for key, x in stored.items() if not x.isfinite().all()]:
            raise ValueError(f"{broken[0]} holds NaN or infinity.")
    except ValueError as error:
        raise ValueError(f"{folder} does not fit its {CONFIG} ({str(error)[:-1]}): {AGAIN}.") from error


def _norm(layer: nn.Linear) -> float:
    """The Frobenius norm of a layer's weights, which distinguishes models in any dtype."""
    return layer.weight.detach().float().norm().item()
