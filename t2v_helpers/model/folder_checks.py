"""What can be wrong with a model's folder, said in one sentence before a library opens it.

A folder of `save_pretrained` has model_index.json, and a folder for each part with its config and its weights. Only
text and the headers of the weights are read: milliseconds, whatever the size.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from t2v_helpers.core.files import reason
from t2v_helpers.inside import unet_config
from t2v_helpers.model import byte_pairs

PARTS = ("text_encoder", "unet", "vae")  # the parts with weights
LATENT_SCALE = 8  # pixels to a latent pixel, each way
AGAIN = "copy or download the folder again"
_CLASSES = {
    "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet3DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
}  # fmt: skip
_CONFIGS = dict.fromkeys(PARTS, "config.json") | {
    "tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json",
}  # fmt: skip
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # in a VAE's one attention


def check_index(folder: Path) -> None:
    """ValueError where the folder does not hold a pipeline of our class."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(f"{folder} is no pipeline, model_index.json is missing: give a folder of save_pretrained.")
    found = read(index)
    kind = found.get("_class_name")
    if kind != "TextToVideoSDPipeline":
        raise ValueError(f"{folder} holds {kind or 'no pipeline'}, but a TextToVideoSDPipeline is needed: {AGAIN}.")
    missing = [part for part in _CONFIGS if not (folder / part).is_dir()]
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)}: {AGAIN}.")
    for part, needed in _CLASSES.items():
        if found.get(part) != needed:
            raise ValueError(f"{index} has {part}={found.get(part)}, but {needed} is needed: {AGAIN}.")


def read(path: Path) -> dict:
    """The keys and values in a JSON file. ValueError: no file, no JSON, or JSON of another kind."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({reason(error)}): {AGAIN}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}, but keys with values are needed: {AGAIN}.")
    return found


def configs(folder: Path) -> dict[str, dict]:
    """Part -> its config. ValueError where one does not say what the course relies on, and those of check_index."""
    check_index(folder)
    found = {part: read(folder / part / name) for part, name in _CONFIGS.items()}
    try:
        unet_config.check_config(found["unet"])
    except ValueError as error:
        raise ValueError(f"{folder / 'unet'}: {str(error)[:-1]}; {AGAIN}.") from error
    for part, rules in _rules(found["unet"], found["text_encoder"]).items():
        for key, (fits, allowed) in rules.items():
            if not fits(found[part].get(key)):
                given = f"{key}={found[part].get(key)!r}"
                raise ValueError(f"{folder / part / _CONFIGS[part]} has {given}, but it must be {allowed}: {AGAIN}.")
    return found


def _rules(unet: dict, text: dict) -> dict[str, dict[str, tuple[Callable[[object], bool], str]]]:
    """Part -> key of its config -> the test of its value, and in words what is allowed."""
    whole = (lambda x: type(x) is int and x > 0, "a whole number above 0")
    positive = (lambda x: type(x) in (int, float) and 0 < x < math.inf, "a number above 0")
    below_1 = (lambda x: type(x) is float and 0 < x < 1, "between 0 and 1")
    room = text.get("max_position_embeddings")
    return {
        "unet": {"_class_name": _only("UNet3DConditionModel"), "out_channels": _only(unet["in_channels"])},
        "vae": {
            "_class_name": _only("AutoencoderKL"), "in_channels": _only(3), "out_channels": _only(3),
            "latent_channels": _only(unet["in_channels"]), "scaling_factor": positive,
            "block_out_channels": (lambda x: isinstance(x, list) and 2 ** (len(x) - 1) == LATENT_SCALE, "a list of 4"),
        },
        "text_encoder": {
            "hidden_size": _only(unet["cross_attention_dim"]), "num_attention_heads": whole, "vocab_size": whole,
            "max_position_embeddings": whole,
        },
        "tokenizer": {"model_max_length": (lambda x: type(x) is int and 0 < x <= room, f"from 1 to {room}")},
        "scheduler": {
            "num_train_timesteps": whole, "beta_start": below_1, "beta_end": below_1,
            "beta_schedule": (lambda x: isinstance(x, str), "a text"),
        },
    }  # fmt: skip


def check_tokenizer(folder: Path) -> None:
    """ValueError where the vocabulary or the merges in a tokenizer's folder are damaged: see byte_pairs.check."""
    try:
        byte_pairs.check(folder)
    except ValueError as error:
        raise ValueError(f"{str(error)[:-1]}: {AGAIN}.") from error


def _only(value: object) -> tuple[Callable[[object], bool], str]:
    return lambda x: x == value, repr(value)


def _weights(part: Path, variant: str | None) -> list[Path]:
    return [path for path in sorted(part.glob("*.safetensors")) if (".fp16" in path.name) == (variant == "fp16")]


def variant(folder: Path, dtype: torch.dtype) -> str | None:
    """ "fp16" or None: the weights stored as asked for where there are two kinds, else the kind that is there."""
    wanted = ("fp16", None) if dtype.itemsize == 2 else (None, "fp16")
    for kind in wanted:
        if all(_weights(folder / part, kind) for part in PARTS):
            return kind
    raise ValueError(f"{folder} has no complete set of safetensors weights, and pickles are not opened: {AGAIN}.")


def check_weights(part: Path, kind: str | None, bare: torch.nn.Module) -> None:
    """ValueError where the folder lacks a tensor of `bare`, the part without its numbers, or has it in another shape.

    Libraries fill such gaps with random weights. `kind` is what `variant` gives back.
    """
    stored = {_today(name): shape for path in _weights(part, kind) for name, shape in _shapes(path).items()}
    needed = {_today(name): tensor for name, tensor in bare.state_dict().items()}
    try:
        unet_config.check_weights(stored, needed)
    except ValueError as error:
        raise ValueError(f"{part} does not fit its config ({str(error)[:-1]}): {AGAIN}.") from error


def _shapes(path: Path) -> dict[str, torch.Tensor]:
    """Name -> a tensor of its shape, without numbers: the header alone is read, in milliseconds, and shows damage."""
    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if not name.endswith("position_ids")]  # a buffer of old
            return {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is cut short or damaged ({error}): {AGAIN}.") from error


def _today(name: str) -> str:
    """The name of a tensor as today's libraries have it; they still read those of 2023."""
    for old, new in _OLD_NAMES.items():
        name = name.replace(f".attentions.0.{old}.", f".attentions.0.{new}.")
    return name.removeprefix("text_model.")


def published_name(part: str, name: str) -> str:
    """The name of a part's tensor in the files of 2023, from its name of today: the way back of what is read."""
    if part == "text_encoder":
        return f"text_model.{name.removeprefix('text_model.')}"
    for old, new in _OLD_NAMES.items():
        name = name.replace(f".attentions.0.{new}.", f".attentions.0.{old}.") if part == "vae" else name
    return name
