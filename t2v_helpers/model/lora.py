"""LoRA: train a few new weights next to frozen layers, so that a model learns something new (this module wraps peft).

    add(pipe, rank=4)                       # in the spatial transformers; nothing changes yet, since B = 0
    save(pipe, "outputs/sepia", ["sepia"])  # A and B alone, with the words that they teach
    load(loading.load("cartoon"), "outputs/sepia")
    with scaled(pipe, 0.5): ...             # half of what was learned
    add(pipe, pieces=own_pieces(pipe, "sepia"))  # and beside it, the embeddings of the new word's pieces

A linear layer y = W x becomes y = W x + scale (alpha / r) B A x with A [r in] and B [out r]; W is frozen (Hu et al.
2021, arXiv 2106.09685, section 4.1). diffusers' `pipe.load_lora_weights` does not support this UNet, so peft is used
directly. The folder has peft's own format: `PeftModel.from_pretrained(unet, folder)` opens it without this module.
Learned embeddings are in a file of their own there, as differences from the model's, too.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from numbers import Real
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.helpers import rescale_adapter_scale
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from t2v_helpers import cartoon
from t2v_helpers.core import checking, files, seeding
from t2v_helpers.core import tensors as stored_tensors
from t2v_helpers.inside import learned_rows
from t2v_helpers.inside.unet_config import HUGE, TINY, WIDEST, Rule, number
from t2v_helpers.model import folders
from t2v_helpers.model.folders import lora_config, manifests
from t2v_helpers.model.pipeline import course_pipeline, known_words

SPATIAL = r".*\.attentions\..*\.(to_q|to_k|to_v|to_out\.0|proj|net\.2|proj_in|proj_out)"
NAME, PREFIX = "lora", "base_model.model."  # of the adapter in peft; of the names in its files
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PIECES = "learned_pieces.safetensors"  # piece -> the change of its embedding [d]; missing where none was learned
FILES = (CONFIG, WEIGHTS, PIECES, manifests.MANIFEST)  # all that `save` writes
LAYERS = (nn.Linear, nn.Conv2d, nn.Conv3d)  # to which a LoRA from elsewhere may belong; `add` takes the first alone
NORM = number(0, torch.finfo(torch.float32).max)  # of a layer's weights, in a header
TEXT: Rule = (lambda value: isinstance(value, str), "a text")
SAME = 1e-3  # relative difference of a layer's norm: half precision changes it by less, another training by more
AGAIN = "give a folder that lora.save has written (notebook 07)"
_damaged = partial(folders.damaged, again=AGAIN)


def matching(unet: nn.Module, layers: str = SPATIAL) -> dict[str, nn.Linear]:
    """The linear layers whose full name matches the regular expression `layers`.

    ValueError: not a regular expression, or no layer matches.
    """
    linear = _linear(unet)
    try:
        found = {name: layer for name, layer in linear.items() if re.fullmatch(layers, name)}
    except (re.error, TypeError, OverflowError, RecursionError) as error:  # too large a number, too many brackets
        what = f"layers={checking.shown(layers)} is not a regular expression ({checking.listed(error)})"
        raise ValueError(f"{what}: correct it or omit it.") from error
    if not found:
        example = next(iter(linear), "none")
        raise ValueError(f"layers={checking.shown(layers)} matches no linear layer: their names are as {example}.")
    return found


def _linear(unet: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in unet.named_modules() if isinstance(layer, nn.Linear)}


def own_pieces(pipe, word: str) -> list[str]:
    """The tokens of a new word that no word of the cartoon world has: what only sentences with the new word contain."""
    shared = {piece for known in cartoon.vocabulary() for piece in pipe.tokenizer.tokenize(known)}
    return [piece for piece in dict.fromkeys(pipe.tokenizer.tokenize(word)) if piece not in shared]


def add(
    pipe,
    rank: int = 4,
    alpha: float | None = None,
    layers: str = SPATIAL,
    seed: int = 0,
    pieces: Sequence[str] = (),
) -> list[nn.Parameter]:
    """Add A and B to each matching layer of the UNet, freeze all other weights, and return the trainable parameters.

    alpha: None means the rank, so that alpha / r is 1. A is drawn from `seed`, B is zero; both are float32.
    pieces: tokens whose embeddings learn, too; their change [n d] is zero, and the last of the parameters.
    ValueError: not a pipeline, or it has a LoRA already; a rank below 1 or above a layer's size; alpha is not a number
    from 1e-12 to 1e6; no layer matches; the seed (see seeding.check_seed); a piece that is no token of a word.
    """
    check(pipe, rank, alpha, layers)
    seeding.check_seed(seed)
    _check_pieces(pipe, pieces)
    course_pipeline(pipe).added = " with a LoRA"
    parameters = _inject(pipe, rank, rank if alpha is None else alpha, sorted(matching(pipe.unet, layers)), seed)
    return parameters + ([_learn(pipe, pieces).change] if pieces else [])


def _check_pieces(pipe, pieces: Sequence[str]) -> None:
    checking.kind("pieces", pieces, list | tuple, "a list of tokens, such as own_pieces(pipe, 'sepia')")
    known = pipe.tokenizer.get_vocab().keys() - set(pipe.tokenizer.all_special_tokens)
    for piece in pieces:
        if not isinstance(piece, str) or piece not in known or pieces.count(piece) > 1:
            why = "which is no token of a word, or there twice"
            raise ValueError(f"pieces has {checking.shown(piece)}, {why}: use own_pieces(pipe, 'sepia'), for example.")


def _learn(pipe, pieces: Iterable[str]) -> learned_rows.LearnedRows:
    return learned_rows.add(pipe.text_encoder, pipe.tokenizer.convert_tokens_to_ids(list(pieces)))


def _inject(pipe, rank: int, alpha: float, names: Iterable[str], seed: int = 0) -> list[nn.Parameter]:
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(names))
    pipe.unet.requires_grad_(False)
    seeding.seeded(seed, lambda: inject_adapter_in_model(config, pipe.unet, NAME))
    parameters = [p for p in pipe.unet.parameters() if p.requires_grad]
    for p in parameters:
        p.data = p.data.float()  # peft uses the base's dtype, and half precision loses small steps
    return parameters


def check(pipe, rank: int, alpha: float | None = None, layers: str = SPATIAL) -> None:
    """Validate the arguments of `add` before anything is changed. ValueError: see there."""
    pipe = course_pipeline(pipe)
    _check_alone(pipe)
    checking.whole("rank", rank, most=WIDEST)
    checking.number("alpha", rank if alpha is None else alpha, TINY, HUGE)
    name, layer = min(matching(pipe.unet, layers).items(), key=lambda pair: min(pair[1].weight.shape))
    if rank > (size := min(layer.weight.shape)):
        raise ValueError(f"rank={rank} is above {size}, the smaller side of {name}: use 1 to {size}.")


def _check_alone(pipe) -> None:
    if added(pipe.unet):
        raise ValueError("pipe has a LoRA already: remove it with lora.remove(pipe), or load the model again.")


def added(unet: nn.Module) -> dict[str, LoraLayer]:
    """Name -> layer, for every layer with a LoRA; empty without one."""
    return {name: layer for name, layer in unet.named_modules() if isinstance(layer, LoraLayer)}


def remove(pipe) -> None:
    """Remove the LoRA and its words: the model is what it was before `add`. ValueError: there is no LoRA."""
    for name, layer in _of(pipe).items():
        pipe.unet.set_submodule(name, layer.get_base_layer())
    vars(pipe.unet).pop("peft_config", None)
    learned_rows.remove(pipe.text_encoder)
    pipe.new_words, pipe.added = (), ""


def merge(pipe) -> None:
    """Add (alpha / r) B A to the weights W: the same videos, at no extra cost.

    ValueError: there is no LoRA, or the sum is not finite in the dtype of the weights; nothing is merged then.
    """
    layers = _of(pipe)
    for name, layer in layers.items():
        _check_sum(name, layer.get_base_layer().weight, layer.get_delta_weight(NAME))
    for name, layer in layers.items():
        layer.merge()
        pipe.unet.set_submodule(name, layer.get_base_layer())
    vars(pipe.unet).pop("peft_config", None)
    learned_rows.merge(pipe.text_encoder)


@torch.no_grad()
def _check_sum(name: str, weight: Tensor, change: Tensor) -> None:
    if not (weight.float() + change.float()).to(weight.dtype).isfinite().all():
        where = f"with the LoRA, the weights of {name} are not finite in {str(weight.dtype).removeprefix('torch.')}"
        raise ValueError(f"{where}: remove it with lora.remove(pipe), or train it with a smaller alpha.")


@contextmanager
def scaled(pipe, scale: float) -> Iterator[None]:
    """Multiply all that was learned by `scale` inside the `with`: 0 is the model without it, 1 the LoRA as trained.

    ValueError: scale is not a number from -1e6 to 1e6, or there is no LoRA.
    """
    scale = checking.number("scale", scale, -HUGE, HUGE)
    _of(pipe)
    pipe = course_pipeline(pipe)
    rows = learned_rows.find(pipe.text_encoder)
    with rescale_adapter_scale(pipe.unet, scale), pipe.using(added=f"{pipe.added} times {scale:g}"):
        with rows.scaled(scale) if rows else nullcontext():
            yield


def _of(pipe) -> dict[str, LoraLayer]:
    pipe = course_pipeline(pipe)
    found = added(pipe.unet)
    if not found:
        raise ValueError("pipe has no LoRA: make one with lora.add(pipe), or load one with lora.load(pipe, folder).")
    return found


def tensors(unet: nn.Module) -> dict[str, Tensor]:
    """A [r in] and B [out r] of every layer, copied to the CPU, under their names in peft's files."""
    found = get_peft_model_state_dict(unet, adapter_name=NAME, save_embedding_layers=False)
    return {PREFIX + key: x.detach().cpu().clone() for key, x in found.items()}


def pieces(pipe) -> dict[str, Tensor]:
    """Piece -> the learned change of its embedding [d], copied to the CPU; empty where none was learned."""
    rows = learned_rows.find(pipe.text_encoder)
    names = pipe.tokenizer.convert_ids_to_tokens(rows.tokens.tolist()) if rows else []
    return {name: rows.change[k].detach().cpu().clone() for k, name in enumerate(names)}


def save(pipe, folder: str | Path, words: Sequence[str] = ()) -> Path:
    """Write what was learned to `folder`, whole or not at all; `words` are those that prompts may now use.

    The header of the weights has the model's name and the norm of each of its layers, by which `load` recognises it.
    Errors: ValueError (no LoRA; values that are not finite; words is not a list of words; the folder holds other files,
    or those of checking.replaceable).
    """
    pipe = course_pipeline(pipe)
    layers, folder = _of(pipe), checking.path("folder", folder)
    if isinstance(words, str) or not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"words={checking.shown(words)} is not allowed: use a list of words, such as ['sepia'].")
    known_words("words", list(words))
    for name, x in {**tensors(pipe.unet), **pieces(pipe)}.items():
        if not x.isfinite().all():
            raise ValueError(f"the LoRA has NaN or infinite values in {name}: train it again, with a smaller lr.")
    checking.replaceable(folder, CONFIG, "a LoRA", known=FILES)
    norms = [_norm(layer.get_base_layer()) for layer in layers.values()]
    header = {
        "base_model": pipe.name.removesuffix(pipe.added),
        "base_norms": json.dumps(norms),
        "words": json.dumps(list(words)),
    }
    config = pipe.unet.peft_config[NAME].to_dict() | {"inference_mode": True, "target_modules": list(layers)}
    plain = {key: value for key, value in config.items() if value is None or isinstance(value, str | Real | list)}

    def write(new: Path) -> None:
        new.mkdir()
        (new / CONFIG).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
        save_file(tensors(pipe.unet), str(new / WEIGHTS), metadata=header)
        if learned := pieces(pipe):
            norms = json.dumps([_norm(pipe.text_encoder.get_input_embeddings())])
            save_file(learned, str(new / PIECES), metadata={"base_norms": norms})
        manifests.write(new)

    files.replace_folder(folder, write)
    return folder


def load(pipe, folder: str | Path) -> tuple[str, ...]:
    """Add the LoRA in `folder` to the pipeline, and return its words, which prompts may use from now on.

    The folder is one of `save`, or of peft's own `PeftModel.save_pretrained`, which names no words and no model.
    Everything is checked before the pipeline is changed. Errors: FileNotFoundError (no such folder), ValueError (not a
    LoRA; damaged; a setting that is not read here; made for another model; see `add`).
    """
    pipe, folder = course_pipeline(pipe), checking.path("folder", folder)
    _check_alone(pipe)
    config, header, stored = _read(folder)
    words = _words(folder, header)
    layers = _found(pipe.unet, pipe.name, header, stored)
    if "base_norms" in header:
        _check_base(pipe, header, config, _listed(folder / WEIGHTS, header, "base_norms", NORM))
    _check_tensors(folder, stored, config["r"], layers)
    learned = _read_pieces(pipe, folder, header)
    _inject(pipe, config["r"], lora_config.alpha(config), layers)
    set_peft_model_state_dict(pipe.unet, {key.removeprefix(PREFIX): x for key, x in stored.items()}, NAME)
    if learned:
        rows = _learn(pipe, learned)
        rows.change.data = torch.stack([*learned.values()]).to(rows.change)
    pipe.new_words, pipe.added = words, f" with {folder.resolve().name}"
    return pipe.new_words


def words_for(unet: nn.Module, name: str, folder: str | Path) -> tuple[str, ...]:
    """The words of the LoRA in `folder`, before the model is loaded to which it is to be added.

    unet: of loading.skeleton(name). Errors: those of `load`, except that the weights may be another model's.
    """
    _, header, stored = _read(Path(folder))
    _found(unet, name, header, stored)
    return _words(Path(folder), header)


def _read(folder: Path) -> tuple[dict, dict[str, str], dict[str, Tensor]]:
    """The config, the header of the weights, and A and B of every layer."""
    if not files.is_folder(folder):
        raise FileNotFoundError(f"{files.named(folder)} is not a folder: {AGAIN}.")
    if missing := [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]:
        raise _damaged(f"{folder} is no LoRA, {missing[0]} is missing")
    if (folder / manifests.MANIFEST).exists():
        manifests.check(folder)
    config = folders.read(folder / CONFIG)
    try:
        lora_config.check(config)
    except ValueError as error:
        raise _damaged(f"{folder / CONFIG}: {str(error)[:-1]}") from error
    return config, *_stored(folder / WEIGHTS)


def _stored(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The header of a file of weights, and its tensors. ValueError: of which of them what is wrong."""
    try:
        return stored_tensors.about(path), stored_tensors.read([path])
    except ValueError as error:
        raise _damaged(f"{path.parent}: {str(error)[:-1]}") from error


def _found(unet: nn.Module, model: str, header: dict[str, str], stored: dict[str, Tensor]) -> dict[str, nn.Module]:
    """Name -> the layer of the UNet, for each of which there are tensors. ValueError: none, or of another size."""
    layers = {name: layer for name, layer in unet.named_modules() if isinstance(layer, LAYERS)}
    found = {}
    for key, x in stored.items():
        name, _, matrix = key.removeprefix(PREFIX).rpartition(".lora_")
        if name not in layers:
            raise _other(model, header, f"it has no layer {files.named(name)}")
        if matrix == "A.weight" and x.shape[1:2] != layers[name].weight.shape[1:2]:
            raise _other(model, header, f"its layer {name} has another size")
        found[name] = layers[name]
    return found


def _other(model: str, header: dict[str, str], why: str) -> ValueError:
    made_for = header.get("base_model", "another model")[:80]
    return ValueError(
        f"the LoRA was made for {made_for!r}, and this is {checking.shown(model)} ({why}): "
        "load that model, or train the LoRA again on this one."
    )


def _listed(path: Path, header: dict[str, str], key: str, rule: Rule) -> list:
    """The list under `key` in a file's header, empty without the key. ValueError: not a list of what `rule` allows."""
    try:
        values = files.parse_json(header.get(key, "[]"), list)
    except ValueError:
        values = [None]
    fits, allowed = rule
    if not all(map(fits, values)):
        raise _damaged(f"{path}: {key} in its header must be a list, each entry {allowed}")
    return values


def _words(folder: Path, header: dict[str, str]) -> tuple[str, ...]:
    found = _listed(folder / WEIGHTS, header, "words", TEXT)
    try:
        return known_words(folder / WEIGHTS, found)
    except ValueError as error:
        raise _damaged(str(error)[:-1]) from error


def _check_base(pipe, header: dict[str, str], config: dict, norms: list[float]) -> None:
    """ValueError unless the LoRA was trained on these very weights, whatever their model is called."""
    names, linear = config.get("target_modules"), _linear(pipe.unet)
    if not isinstance(names, list) or len(names) != len(norms):
        raise _damaged(f"target_modules in {CONFIG} must list {len(norms)} layers, as the weights have norms")
    if not all(
        name in linear and math.isclose(_norm(linear[name]), norm, rel_tol=SAME)
        for name, norm in zip(names, norms, strict=True)
    ):
        raise _other(pipe.name, header, "its weights are others")


def _check_tensors(folder: Path, stored: dict[str, Tensor], rank: int, layers: dict[str, nn.Module]) -> None:
    """ValueError unless there is an A [r in ...] and a B [out r ...] for every layer, and nothing else."""
    needed = {}
    for name, layer in layers.items():
        out, ins, *kernel = layer.weight.shape  # a convolution has a kernel, which B takes pixel by pixel
        needed[f"{PREFIX}{name}.lora_A.weight"] = torch.empty(rank, ins, *kernel, device="meta")
        needed[f"{PREFIX}{name}.lora_B.weight"] = torch.empty(out, rank, *[1] * len(kernel), device="meta")
    try:
        if not stored:
            raise ValueError("there are no tensors.")
        stored_tensors.check(stored, needed)
    except ValueError as error:
        raise _damaged(f"{folder} does not fit its {CONFIG} ({str(error)[:-1]})") from error


def _read_pieces(pipe, folder: Path, header: dict[str, str]) -> dict[str, Tensor]:
    """Piece -> change [d], empty without the file. ValueError: damaged, or made for another text encoder."""
    if not (folder / PIECES).exists():
        return {}
    about, learned = _stored(folder / PIECES)
    table = pipe.text_encoder.get_input_embeddings()
    norms = _listed(folder / PIECES, about, "base_norms", NORM)
    known = pipe.tokenizer.get_vocab().keys() - set(pipe.tokenizer.all_special_tokens)
    fits = all(name in known and x.shape == table.weight.shape[1:] for name, x in learned.items())
    if not fits or len(norms) != 1 or not math.isclose(_norm(table), norms[0], rel_tol=SAME):
        raise _other(pipe.name, header, "its text encoder is another")
    return learned


def _norm(layer: nn.Linear | nn.Embedding) -> float:
    """The Frobenius norm of a layer's weights, which distinguishes models in any dtype."""
    return layer.weight.detach().float().norm().item()
