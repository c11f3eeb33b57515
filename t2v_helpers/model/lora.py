"""LoRA: a few new numbers beside frozen layers, so that a model learns something new (the guest is peft).

    add(pipe, rank=4)                       # beside the spatial transformers; nothing changes yet, since B = 0
    save(pipe, "outputs/sepia", ["sepia"])  # A and B alone, with the words that they teach
    load(loading.load("cartoon"), "outputs/sepia")
    with scaled(pipe, 0.5): ...             # half of what was learned

A linear layer y = W x becomes y = W x + scale (alpha / r) B A x with A [r in] and B [out r]; W stays as it is (Hu et
al. 2021, arXiv 2106.09685, section 4.1). `pipe.load_lora_weights` of diffusers has no way into this UNet, so peft does
it. The folder is peft's own: `PeftModel.from_pretrained(unet, folder)` opens it without a line of ours.
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

from t2v_helpers.core import files, seeding
from t2v_helpers.inside import unet_config
from t2v_helpers.model import folder_checks
from t2v_helpers.model.pipeline import course_pipeline

SPATIAL = r".*\.attentions\..*\.(to_q|to_k|to_v|to_out\.0|proj|net\.2|proj_in|proj_out)"
NAME = "lora"  # what peft calls our one adapter
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SAME = 1e-3  # of a layer's norm: half precision rounds by less, and another training ends elsewhere
AGAIN = "give a folder that lora.save has written (notebook 07)"


# --- beside the layers


def matching(unet: nn.Module, layers: str = SPATIAL) -> dict[str, nn.Linear]:
    """The linear layers whose whole name matches the regular expression `layers`.

    ValueError: it is no regular expression, or no layer matches.
    """
    try:
        pattern = re.compile(layers)
    except (re.error, TypeError) as error:
        raise ValueError(f"layers={layers!r} is no regular expression ({error}): leave it out, or mend it.") from error
    linear = {name: m for name, m in unet.named_modules() if isinstance(m, nn.Linear)}
    found = {name: m for name, m in linear.items() if pattern.fullmatch(name)}
    if not found:
        example = next(iter(linear), "none")
        raise ValueError(f"layers={layers!r} matches no linear layer: their names are as {example}.")
    return found


def add(
    pipe,
    rank: int = 4,
    alpha: float | None = None,
    layers: str = SPATIAL,
    seed: int = 0,
) -> list[nn.Parameter]:
    """Put A and B beside each matching layer of the UNet, freeze all the rest, and give back what is to be learned.

    alpha: None takes the rank, so that alpha / r is 1. A is drawn from `seed`, B is zero, both are float32.
    ValueError: no pipeline, or it has a LoRA already; a rank below 1 or above a layer's size; an alpha that is no
    number above 0; no layer matches; no seed (seeding.check_seed).
    """
    check(pipe, rank, alpha, layers)
    seeding.check_seed(seed)
    names = sorted(matching(pipe.unet, layers))
    config = LoraConfig(r=rank, lora_alpha=rank if alpha is None else alpha, target_modules=names)
    pipe.unet.requires_grad_(False)
    seeding.seeded(seed, lambda: inject_adapter_in_model(config, pipe.unet, NAME))
    parameters = [p for p in pipe.unet.parameters() if p.requires_grad]
    for p in parameters:
        p.data = p.data.float()  # peft takes the base's dtype, and half precision loses small steps
    return parameters


def check(pipe, rank: int, alpha: float | None = None, layers: str = SPATIAL) -> None:
    """What `add` refuses, before anything is changed. ValueError: see there."""
    pipe = course_pipeline(pipe)
    if added(pipe.unet):
        raise ValueError("pipe has a LoRA already: take it away with lora.remove(pipe), or load the model again.")
    if alpha is not None and not (_is_number(alpha) and 0 < alpha < math.inf):
        raise ValueError(f"alpha={alpha!r} is not allowed: use a number above 0, or None for the rank.")
    if not isinstance(rank, Integral) or isinstance(rank, bool) or rank < 1:
        raise ValueError(f"rank={rank!r} is not allowed: use a whole number, 1 or more.")
    for name, layer in matching(pipe.unet, layers).items():
        size = min(layer.weight.shape)
        if rank > size:
            raise ValueError(f"rank={rank} is above {size}, the smaller side of {name}: use 1 to {size}.")


def added(unet: nn.Module) -> dict[str, LoRALinear]:
    """Name -> layer, for every layer that has a LoRA beside it; none where there is no LoRA."""
    return {name: m for name, m in unet.named_modules() if isinstance(m, LoRALinear)}


def remove(pipe) -> None:
    """Take the LoRA and its words away: the UNet is what it was before `add`. ValueError: there is none."""
    for name, layer in _of(pipe).items():
        _put(pipe.unet, name, layer.get_base_layer())
    _forget(pipe)
    pipe.new_words = ()


def merge(pipe) -> None:
    """Write W + (alpha / r) B A into the weights: the same videos, at no extra cost. ValueError: there is no LoRA."""
    for name, layer in _of(pipe).items():
        layer.merge()
        _put(pipe.unet, name, layer.get_base_layer())
    _forget(pipe)


@contextmanager
def scaled(pipe, scale: float) -> Iterator[None]:
    """Within the block, `scale` times what was learned: 0 is the model as it was, 1 the LoRA as it was trained.

    ValueError: scale is no number, or there is no LoRA.
    """
    if not _is_number(scale) or not math.isfinite(scale):
        raise ValueError(f"scale={scale!r} is not allowed: use a number, mostly from 0 to 1.")
    layers = _of(pipe).values()
    before = [dict(layer.scaling) for layer in layers]
    for layer in layers:
        layer.set_scale(NAME, scale)
    try:
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            layer.scaling.update(old)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _of(pipe) -> dict[str, LoRALinear]:
    pipe = course_pipeline(pipe)
    found = added(pipe.unet)
    if not found:
        raise ValueError("pipe has no LoRA: make one with lora.add(pipe), or load one with lora.load(pipe, folder).")
    return found


def _put(unet: nn.Module, name: str, layer: nn.Module) -> None:
    above, _, last = name.rpartition(".")
    setattr(unet.get_submodule(above), last, layer)


def _forget(pipe) -> None:
    if hasattr(pipe.unet, "peft_config"):
        del pipe.unet.peft_config


# --- on the disk


def tensors(unet: nn.Module) -> dict[str, Tensor]:
    """A and B of every layer, copied to the CPU, under the names that peft gives them in a file."""
    return {
        _key(name, part): matrix[NAME].weight.detach().cpu().clone()
        for name, layer in added(unet).items()
        for part, matrix in (("A", layer.lora_A), ("B", layer.lora_B))
    }


def save(pipe, folder: str | Path, words: Sequence[str] = ()) -> Path:
    """Write A and B to `folder`, all of it or nothing; `words` are those that a prompt may now use.

    The header of the weights names the model, and how large each layer's own weights are: by that `load` knows another.
    Errors: ValueError (no LoRA; words is a text; the folder holds something else), OSError (see files.check_target).
    """
    layers, folder = _of(pipe).values(), Path(folder)
    if isinstance(words, str):
        raise ValueError(f"words={words!r} is a text: give a list of words, such as [{words!r}].")
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"words={words!r} is not allowed: give a list of words, such as ['sepia'].")
    _check_place(folder)
    norms = [_norm(layer.get_base_layer()) for layer in layers]
    about = {"base_model": pipe.name, "base_norms": json.dumps(norms), "words": json.dumps(list(words))}
    files.replace_folder(folder, lambda new: _write(new, _config(pipe.unet), tensors(pipe.unet), about))
    return folder


def load(pipe, folder: str | Path) -> tuple[str, ...]:
    """Put the LoRA of `folder` into the pipeline, and give back its words, which prompts may use from now on.

    Everything is looked at before the pipeline is changed. Errors: FileNotFoundError (no such folder), ValueError (no
    LoRA; damaged; made for another model; see `add`).
    """
    pipe = course_pipeline(pipe)
    folder = Path(folder)
    rank, alpha, names = _read_config(folder)
    about, stored = _read_weights(folder)
    layers = "|".join(map(re.escape, names))
    words = tuple(_listed(folder, about, "words", str))
    _check_base(pipe, about, names, _listed(folder, about, "base_norms", Real))
    check(pipe, rank, alpha, layers)
    _check_tensors(pipe.unet, folder, rank, layers, stored)
    add(pipe, rank, alpha, layers)
    for name, layer in added(pipe.unet).items():
        for part, matrix in (("A", layer.lora_A), ("B", layer.lora_B)):
            matrix[NAME].weight.data.copy_(stored[_key(name, part)])
    pipe.new_words = words
    return pipe.new_words


def _config(unet: nn.Module) -> dict:
    """peft's own configuration, as plain JSON, with every layer under its whole name."""
    config = unet.peft_config[NAME].to_dict() | {"inference_mode": True, "target_modules": list(added(unet))}
    return {key: value for key, value in config.items() if value is None or isinstance(value, str | Real | list)}


def _write(folder: Path, config: dict, weights: dict[str, Tensor], about: dict[str, str]) -> None:
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(weights, str(folder / WEIGHTS), metadata=about)
    files.write_manifest(folder)


def _check_place(folder: Path) -> None:
    """Know before writing that the folder is a new one, an empty one or a LoRA."""
    files.check_target(folder / CONFIG)
    if folder.exists() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds files, but no LoRA, and would be replaced: name a new folder.")


def _read_config(folder: Path) -> tuple[int, float, list[str]]:
    """Rank, alpha and the names of the layers."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: {AGAIN}.")
    missing = [name for name in (CONFIG, WEIGHTS, files.MANIFEST) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} is no LoRA, {missing[0]} is missing: {AGAIN}.")
    files.check_manifest(folder)
    config = folder_checks.read(folder / CONFIG)
    rank, alpha, names = (config.get(key) for key in ("r", "lora_alpha", "target_modules"))
    named = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    if config.get("peft_type") != "LORA" or not named:
        raise ValueError(f"{folder / CONFIG} is no LoRA with a list of layers: {AGAIN}.")
    return rank, alpha, names


def _read_weights(folder: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What the header says, and A and B of every layer."""
    try:
        with safe_open(str(folder / WEIGHTS), "pt") as file:
            about = file.metadata() or {}
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is cut short or damaged ({error}): {AGAIN}.") from error
    if not about.keys() >= {"base_model", "base_norms", "words"}:
        raise ValueError(f"{folder / WEIGHTS} does not say for which model it was made: {AGAIN}.")
    return about, stored


def _listed(folder: Path, about: dict[str, str], key: str, kind: type) -> list:
    """The list in the header under that key. ValueError: something else stands there."""
    try:
        values = json.loads(about[key])
    except ValueError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise ValueError(f"{folder / WEIGHTS} has no list under {key} in its header: {AGAIN}.")
    return values


def _check_base(pipe, about: dict[str, str], names: list[str], norms: list[float]) -> None:
    """ValueError where these are not the weights beside which A and B were trained; their name may be another."""
    linear = {name: m for name, m in pipe.unet.named_modules() if isinstance(m, nn.Linear)}
    missing = [name for name in names if name not in linear]
    same = len(norms) == len(names) and all(
        math.isclose(_norm(linear[name]), norm, rel_tol=SAME) for name, norm in zip(names, norms, strict=True)
        if name in linear)  # fmt: skip
    if missing or not same:
        why = f"it has no layer {missing[0]}" if missing else "its weights are others"
        raise ValueError(
            f"the LoRA was made for {about['base_model']!r}, and this is {pipe.name!r} ({why}): "
            "load that model, or train the LoRA again on this one."
        )


def _check_tensors(unet: nn.Module, folder: Path, rank: int, layers: str, stored: dict[str, Tensor]) -> None:
    """ValueError unless there is an A [rank in] and a B [out rank] for every layer, and nothing else."""
    needed = {}
    for name, layer in matching(unet, layers).items():
        needed[_key(name, "A")] = torch.empty(rank, layer.in_features, device="meta")
        needed[_key(name, "B")] = torch.empty(layer.out_features, rank, device="meta")
    try:
        unet_config.check_weights(stored, needed)
        if broken := [key for key, x in stored.items() if not x.isfinite().all()]:
            raise ValueError(f"{broken[0]} holds NaN or infinity.")
    except ValueError as error:
        raise ValueError(f"{folder} does not fit its {CONFIG} ({str(error)[:-1]}): {AGAIN}.") from error


def _key(name: str, part: str) -> str:
    return f"base_model.model.{name}.lora_{part}.weight"


def _norm(layer: nn.Linear) -> float:
    """The length of a layer's weights as one vector: it tells a model from another, in any dtype."""
    return layer.weight.detach().float().norm().item()
