"""Check a model's folder before a library opens it, and say in one sentence what is wrong.

A folder of `save_pretrained` has model_index.json and a folder for each part with its config and its weights. Only
text and the headers of the weights are read, which takes milliseconds whatever the size.

The tokenizer is a byte-pair tokenizer (Sennrich et al. 2016, arXiv 1508.07909): a vocabulary numbers the tokens, and
each merge joins two tokens into a third. Libraries accept truncated merges silently and then spell words in letters,
so vocabulary and merges must account for each other.
"""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from t2v_helpers.core.files import reason
from t2v_helpers.inside import unet_config

PARTS = ("text_encoder", "unet", "vae")  # the parts with weights
LATENT_SCALE = 8  # pixels per latent pixel, along each side
AGAIN = "copy or download the folder again"
MARKS = ("<|startoftext|>", "<|endoftext|>")  # CLIP's, where no config names others
WORD_END = "</w>"
_CLASSES = {
    "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet3DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
}  # fmt: skip
_CONFIGS = dict.fromkeys(PARTS, "config.json") | {
    "tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json",
}  # fmt: skip
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # in the VAE's attention


def _damaged(what: str) -> ValueError:
    return ValueError(f"{what}: {AGAIN}.")


def read(path: Path) -> dict:
    """The object in a JSON file. ValueError: no such file, not JSON, or not an object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(f"{path} cannot be read ({reason(error)})") from error
    if not isinstance(found, dict):
        raise _damaged(f"{path} holds a {type(found).__name__}, but keys with values are needed")
    return found


# --- configs


def check_index(folder: Path) -> None:
    """ValueError unless the folder holds a TextToVideoSDPipeline with all its parts."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(f"{folder} has no model_index.json: give a folder written by save_pretrained.")
    found = read(index)
    kind = found.get("_class_name")
    if kind != "TextToVideoSDPipeline":
        raise _damaged(f"{folder} holds {kind or 'no pipeline'}, but a TextToVideoSDPipeline is needed")
    if missing := [part for part in _CONFIGS if not (folder / part).is_dir()]:
        raise _damaged(f"{folder} lacks {', '.join(missing)}")
    for part, needed in _CLASSES.items():
        if found.get(part) != needed:
            raise _damaged(f"{index} has {part}={found.get(part)}, but {needed} is needed")


def configs(folder: Path) -> dict[str, dict]:
    """Part -> its config. ValueError: a value on which the course relies is different; those of `check_index`."""
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
                raise _damaged(f"{folder / part / _CONFIGS[part]} has {given}, but it must be {allowed}")
    return found


def _rules(unet: dict, text: dict) -> dict[str, dict[str, tuple[Callable[[object], bool], str]]]:
    """Part -> key of its config -> a test of its value, and what is allowed, in words."""
    whole = (lambda x: type(x) is int and x > 0, "a whole number above 0")
    positive = (lambda x: type(x) in (int, float) and 0 < x < math.inf, "a number above 0")
    below_1 = (lambda x: type(x) is float and 0 < x < 1, "between 0 and 1")
    longest = text.get("max_position_embeddings")
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
        "tokenizer": {"model_max_length": (lambda x: type(x) is int and 0 < x <= longest, f"from 1 to {longest}")},
        "scheduler": {
            "num_train_timesteps": whole, "beta_start": below_1, "beta_end": below_1,
            "beta_schedule": (lambda x: isinstance(x, str), "a text"),
        },
    }  # fmt: skip


def _only(value: object) -> tuple[Callable[[object], bool], str]:
    return lambda x: x == value, repr(value)


# --- tokenizer


def check_tokenizer(folder: Path) -> None:
    """Check vocab.json with merges.txt, and tokenizer.json, whichever are there. Takes milliseconds.

    ValueError: a file that cannot be read; no vocabulary; merges that do not fit it, or are cut short.
    """
    config, vocabulary, merges, whole = (
        folder / name for name in ("tokenizer_config.json", "vocab.json", "merges.txt", "tokenizer.json")
    )
    special = {*MARKS, *(_special_tokens(read(config)) if config.exists() else ())}
    if vocabulary.exists() or merges.exists():
        tokens = _tokens(vocabulary, read(vocabulary))
        _check_merges(merges, tokens, [line.split(" ") for line in merge_lines(merges)], special)
    if whole.exists():
        found = read(whole)
        try:
            pairs = [pair.split(" ") if isinstance(pair, str) else [str(piece) for piece in pair]
                     for pair in found["model"]["merges"]]  # fmt: skip
            tokens, added = found["model"]["vocab"], {token["content"] for token in found["added_tokens"]}
        except (LookupError, TypeError) as error:
            raise _damaged(f"{whole} holds no vocabulary with merges") from error
        _check_merges(whole, _tokens(whole, tokens), pairs, special | added)


def merge_lines(merges: Path) -> list[str]:
    """The merges in a merges.txt, "a b" each. ValueError: it cannot be read."""
    try:
        lines = merges.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise _damaged(f"{merges} cannot be read ({reason(error)})") from error
    return [line for line in lines if line.strip() and not line.startswith("#version")]


def _check_merges(source: Path, vocabulary: set[str], merges: Iterable[list[str]], special: set[str]) -> None:
    """ValueError unless each merge joins two tokens into one, and a merge makes each token longer than a letter."""
    made = set()
    for pair in merges:
        joined = "".join(pair)
        if len(pair) != 2 or not {*pair, joined} <= vocabulary:
            raise _damaged(f"{source} has the merge {' '.join(pair)[:40]!r}, which does not join two tokens into one")
        made.add(joined)
    left = [token for token in vocabulary - made - special if len(token.removesuffix(WORD_END)) > 1]
    if left:
        raise _damaged(f"{source} is cut short: {len(left)} tokens, such as {min(left)!r}, have no merge")


def _tokens(source: Path, found: object) -> set[str]:
    if not isinstance(found, dict) or not found or not all(type(number) is int for number in found.values()):
        raise _damaged(f"{source} holds no vocabulary (tokens with their numbers)")
    return set(found)


def _special_tokens(config: dict) -> set[str]:
    """The tokens that a config names: "bos_token" and others, as a string or an object with its "content"."""
    named = [value for key, value in config.items() if key.endswith("_token")]
    named = [value.get("content") if isinstance(value, dict) else value for value in named]
    return {value for value in named if isinstance(value, str)}


# --- weights


def variant(folder: Path, dtype: torch.dtype) -> str | None:
    """ "fp16" or None: the weights stored in the size of `dtype` where there are both, else those that are there."""
    for kind in ("fp16", None) if dtype.itemsize == 2 else (None, "fp16"):
        if all(_weights(folder / part, kind) for part in PARTS):
            return kind
    raise _damaged(f"{folder} has no complete set of safetensors weights, and pickles are not opened")


def check_weights(part: Path, kind: str | None, bare: torch.nn.Module) -> None:
    """ValueError where the folder lacks a tensor of `bare`, the part on the meta device, or has it in another shape.

    Libraries fill such gaps with random weights. kind: the result of `variant`.
    """
    stored = {_today(name): shape for path in _weights(part, kind) for name, shape in _shapes(path).items()}
    needed = {_today(name): tensor for name, tensor in bare.state_dict().items()}
    try:
        unet_config.check_weights(stored, needed)
    except ValueError as error:
        raise _damaged(f"{part} does not fit its config ({str(error)[:-1]})") from error


def published_name(part: str, name: str) -> str:
    """The name of a part's tensor in the files of 2023, from its name today; the inverse of what is read."""
    if part == "text_encoder":
        return f"text_model.{name.removeprefix('text_model.')}"
    for old, new in _OLD_NAMES.items():
        name = name.replace(f".attentions.0.{new}.", f".attentions.0.{old}.") if part == "vae" else name
    return name


def _weights(part: Path, variant: str | None) -> list[Path]:
    return [path for path in sorted(part.glob("*.safetensors")) if (".fp16" in path.name) == (variant == "fp16")]


def _shapes(path: Path) -> dict[str, torch.Tensor]:
    """Name -> a meta tensor of its shape. Only the header is read, which is enough to see damage."""
    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if not name.endswith("position_ids")]  # a buffer of older versions
            return {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in names}
    except SafetensorError as error:
        raise _damaged(f"{path} is cut short or damaged ({error})") from error


def _today(name: str) -> str:
    """The name of a tensor in today's libraries, which still read the names of 2023."""
    for old, new in _OLD_NAMES.items():
        name = name.replace(f".attentions.0.{old}.", f".attentions.0.{new}.")
    return name.removeprefix("text_model.")
