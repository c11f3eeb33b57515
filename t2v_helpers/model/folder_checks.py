"""The one door for folders from others: which files a part is read from, what they may hold, and the part itself.

A folder of `save_pretrained` has model_index.json and a folder for each part with its config and its weights. Of the
configs only the keys in RULES are read, each held to its rule, so that nothing else reaches a library: no code, no
other file, no address. The weights are KIND.stem*.safetensors alone (core/tensors.py). The checks read text and
headers, which takes milliseconds whatever the size; `read` then builds the part.

The tokenizer is a byte-pair tokenizer (Sennrich et al. 2016, arXiv 1508.07909): a vocabulary numbers the tokens, and
each merge joins two tokens into a third. Libraries accept truncated merges silently and then spell words in letters,
so vocabulary and merges must account for each other.
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError

from t2v_helpers.core import checking, files, tensors
from t2v_helpers.core.files import reason
from t2v_helpers.core.importing import quickly
from t2v_helpers.diffusion import schedulers
from t2v_helpers.diffusion.grids import SPACINGS
from t2v_helpers.diffusion.scheduler_list import SCHEDULERS
from t2v_helpers.inside import unet_config
from t2v_helpers.inside.unet import UNet3D
from t2v_helpers.inside.unet_config import LAYERS, Rule, list_of, one_of, positive, whole

with quickly():
    import diffusers
    from accelerate import init_empty_weights
    from diffusers import AutoencoderKL, AutoencoderTiny
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig

PARTS = ("text_encoder", "unet", "vae")  # the parts with weights
LATENT_SCALE = 8  # pixels per latent pixel, along each side
AGAIN = "copy or download the folder again"
MARKS = {"bos_token": "<|startoftext|>", **dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>")}
WORD_END = "</w>"
LONGEST = 2**16  # tokens of a sentence
_SCHEDULERS = dict.fromkeys(scheduler.cls for scheduler in SCHEDULERS.values())
_CLASSES = {  # part -> what model_index.json may say of it; a student's autoencoder is tiny
    "text_encoder": (["transformers", "CLIPTextModel"],), "tokenizer": (["transformers", "CLIPTokenizer"],),
    "unet": (["diffusers", "UNet3DConditionModel"],),
    "vae": (["diffusers", "AutoencoderKL"], ["diffusers", "AutoencoderTiny"]),
}  # fmt: skip
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # in the VAE's attention
_PICTURES = ("vision_model.", "visual_projection.", "text_projection.", "logit_scale")  # CLIP's half for pictures
_LIBRARY_ERRORS = (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError,
                   StrictDataclassError)  # what sizes that do not fit one another lead to  # fmt: skip


def _damaged(what: str) -> ValueError:
    return ValueError(f"{what}: {AGAIN}.")


def read(path: Path) -> dict:
    """The object in a JSON file. ValueError: see files.check_link and files.read_json."""
    try:
        files.check_link(path)
        return files.read_json(path)
    except ValueError as error:
        raise _damaged(str(error)[:-1]) from error


# --- configs

_FLAG, _CHANNELS = one_of(True, False), whole()
_CODER = {  # of every autoencoder here
    "in_channels": one_of(3), "out_channels": one_of(3), "latent_channels": _CHANNELS, "scaling_factor": positive(),
    "shift_factor": one_of(None, 0, 0.0), "force_upcast": _FLAG,
}  # fmt: skip
_FOUR = partial(list_of, least=4, most=4)  # blocks: three of them halve the size
_VAE = _CODER | {
    "block_out_channels": _FOUR(_CHANNELS), "layers_per_block": whole(LAYERS), "norm_num_groups": _CHANNELS,
    "down_block_types": _FOUR(one_of("DownEncoderBlock2D")), "up_block_types": _FOUR(one_of("UpDecoderBlock2D")),
    "act_fn": one_of("silu"), "sample_size": whole(), "latents_mean": one_of(None), "latents_std": one_of(None),
    **dict.fromkeys(("use_quant_conv", "use_post_quant_conv", "mid_block_add_attention"), _FLAG),
}  # fmt: skip
_TINY = _CODER | {
    **dict.fromkeys(("encoder_block_out_channels", "decoder_block_out_channels"), _FOUR(_CHANNELS)),
    **dict.fromkeys(("num_encoder_blocks", "num_decoder_blocks"), _FOUR(whole(LAYERS, 0))),
    "act_fn": one_of("relu"), "upsample_fn": one_of("nearest"), "upsampling_scaling_factor": one_of(2),
    "latent_magnitude": positive(), "latent_shift": positive(),
}  # fmt: skip
_ID = (lambda x: x is None or (type(x) is int and 0 <= x <= 2**20), "the number of a token")
_READER = {  # of both halves of a CLIP
    **dict.fromkeys(("hidden_size", "intermediate_size", "num_attention_heads", "projection_dim"), _CHANNELS),
    "num_hidden_layers": whole(100), "layer_norm_eps": positive(),
    "hidden_act": one_of("quick_gelu", "gelu", "relu", "silu"),
}  # fmt: skip
_TEXT = _READER | {"vocab_size": whole(2**20), "max_position_embeddings": whole(LONGEST),
                   **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), _ID)}  # fmt: skip
_VISION = _READER | {"num_channels": one_of(3), "image_size": whole(4096), "patch_size": whole(4096)}
_TABLE = (lambda x: isinstance(x, dict), "keys with values")
_BELOW_1 = (lambda x: type(x) is float and 0 < x < 1, "between 0 and 1")
_SCHEDULE = {  # what schedulers.make keeps, and what a scheduler of its own class may say
    "num_train_timesteps": whole(10**5), "beta_start": _BELOW_1, "beta_end": _BELOW_1,
    "beta_schedule": one_of("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": one_of("epsilon", "v_prediction"), "trained_betas": one_of(None),
    **dict.fromkeys(("rescale_betas_zero_snr", "clip_sample", "thresholding", "set_alpha_to_one"), _FLAG),
    **dict.fromkeys(("clip_sample_range", "dynamic_thresholding_ratio", "sample_max_value"), positive()),
    "steps_offset": whole(100, 0), "timestep_spacing": one_of(*SPACINGS), "skip_prk_steps": _FLAG,
    "original_inference_steps": whole(10**5),
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A class of parts: how it is built from what RULES let pass, the stem of its files of weights, and its tensors.

    today: the name of a stored tensor in today's libraries, which still read the names of 2023; None: not needed.
    """

    name: str
    build: Callable[..., torch.nn.Module]
    stem: str
    rules: Mapping[str, Rule]
    today: Callable[[str], str | None]
    required: tuple[str, ...] = ()


def _text_name(name: str) -> str | None:
    unread = name.startswith(_PICTURES) or name.endswith("position_ids")  # a buffer of older versions
    return None if unread else name.removeprefix("text_model.")


def _vae_name(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        name = name.replace(f".attentions.0.{old}.", f".attentions.0.{new}.")
    return name


def _clip(text_config: dict, vision_config: dict, **others) -> CLIPModel:
    halves = CLIPTextConfig(**_picked(text_config, _TEXT)), CLIPVisionConfig(**_picked(vision_config, _VISION))
    return CLIPModel(CLIPConfig(text_config=halves[0].to_dict(), vision_config=halves[1].to_dict(), **others))


_UNET = getattr(diffusers, "UNet3DConditionModel", lambda **config: UNet3D(config))
KINDS = {
    kind.name: kind
    for kind in (
        Kind("CLIPTextModel", lambda **c: CLIPTextModel(CLIPTextConfig(**c)), "model", _TEXT, _text_name),
        Kind("UNet3DConditionModel", _UNET, "diffusion_pytorch_model", unet_config.RULES, str),
        Kind("AutoencoderKL", AutoencoderKL, "diffusion_pytorch_model", _VAE, _vae_name, ("scaling_factor",)),
        Kind("AutoencoderTiny", AutoencoderTiny, "diffusion_pytorch_model", _TINY, str),
        Kind("CLIPModel", _clip, "model", {"text_config": _TABLE, "vision_config": _TABLE, "projection_dim": whole()},
             lambda name: None if name.endswith("position_ids") else name, ("text_config", "vision_config")),
    )
}  # fmt: skip
KIND_OF = {part: KINDS[_CLASSES[part][0][1]] for part in PARTS}  # of a model that is no student


def _picked(config: Mapping, rules: Mapping[str, Rule], required: tuple[str, ...] = ()) -> dict:
    """The keys that have a rule, each of which fits it; the others are left out. ValueError: see unet_config.check."""
    unet_config.check(config, rules, rules.keys() - set(required))
    return {key: config[key] for key in rules if key in config}


def config_of(folder: Path, kind: Kind) -> dict:
    """What is read of the config of a part. ValueError: of another class, or a value that its rule does not allow."""
    path = folder / "config.json"
    found = read(path)
    if kind.stem != "model" and found.get("_class_name") != kind.name:  # transformers writes no such key
        raise _damaged(f"{path} has _class_name={checking.shown(found.get('_class_name'))}, but it must be {kind.name}")
    if kind.name == "CLIPTextModel" and isinstance(found.get("text_config"), dict):  # of a whole CLIP, its half
        found = found["text_config"]
    return known(found, kind, path)


def known(found: dict, kind: Kind, where: object) -> dict:
    """What is read of a config, wherever it comes from. ValueError: see `config_of`."""
    try:
        if kind.rules is unet_config.RULES:
            unet_config.check_config(found)
        return _picked(found, kind.rules, kind.required)
    except ValueError as error:
        raise _damaged(f"{where}: {str(error)[:-1]}") from error


def kinds(folder: Path) -> dict[str, Kind]:
    """Part -> its kind, by model_index.json. ValueError unless it is a TextToVideoSDPipeline with all its parts."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(f"{folder} has no model_index.json: give a folder written by save_pretrained.")
    found = read(index)
    kind = found.get("_class_name")
    if kind != "TextToVideoSDPipeline":
        raise _damaged(f"{folder} holds {checking.shown(kind or 'no pipeline')}, but a TextToVideoSDPipeline is needed")
    if missing := [part for part in (*_CLASSES, "scheduler") if not (folder / part).is_dir()]:
        raise _damaged(f"{folder} lacks {', '.join(missing)}")
    for part in (*_CLASSES, "scheduler"):
        files.check_link(folder / part)
    for part, allowed in _CLASSES.items():
        if found.get(part) not in allowed:
            needed = " or ".join(map(str, allowed))
            raise _damaged(f"{index} has {part}={checking.shown(found.get(part))}, but {needed} is needed")
    return {part: KINDS[found[part][1]] for part in PARTS}


def configs(folder: Path, of: Mapping[str, Kind]) -> dict[str, dict]:
    """Part -> what is read of its config. ValueError: they do not fit one another; those of `config_of`."""
    found = {part: config_of(folder / part, kind) for part, kind in of.items()}
    unet, coder, text = found["unet"], found["vae"], found["text_encoder"]
    for part, key, given, needed in (
        ("unet", "out_channels", unet["out_channels"], unet["in_channels"]),
        ("vae", "latent_channels", coder.get("latent_channels"), unet["in_channels"]),
        ("text_encoder", "hidden_size", text.get("hidden_size"), unet["cross_attention_dim"]),
    ):
        if given != needed:
            raise _damaged(f"{folder / part / 'config.json'} has {key}={given!r}, but it must be {needed}")
    return found


def scheduler(path: Path) -> diffusers.SchedulerMixin:
    """The scheduler of a scheduler_config.json. ValueError: another class, or a value that its rule does not allow."""
    found = read(path)
    try:
        cls = getattr(diffusers, checking.one_of("_class_name", found.get("_class_name"), _SCHEDULERS))
        trained = _picked(found, _SCHEDULE, ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"))
        options = inspect.signature(cls.__init__).parameters
        for key in found.keys() & options.keys() - trained.keys():
            checking.one_of(key, found[key], (options[key].default,))
        steps = "original_inference_steps"
        checking.whole(steps, trained.get(steps, 1), most=trained["num_train_timesteps"])
        with torch.device("cpu"):  # whatever torch's default is
            return _in_range(schedulers.build(cls, trained))
    except _LIBRARY_ERRORS as error:
        raise _damaged(f"{path}: {reason(error)}") from error


def _in_range(made: diffusers.SchedulerMixin) -> diffusers.SchedulerMixin:
    """ValueError unless there is noise at the end of the schedule, and still some signal, by which to divide."""
    first, last = made.alphas_cumprod[0].item(), made.alphas_cumprod[-1].item()
    least = 0 if made.config.prediction_type != "epsilon" else 1e-8
    if not least <= last < first < 1:
        raise ValueError(f"its betas lead alpha-bar from {first:g} to {last:g}, and not down from 1 to just above 0.")
    return made


# --- tokenizer


def vocabulary(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The tokens with their numbers, and the merges, from vocab.json and merges.txt, or else from tokenizer.json.

    ValueError: none of them; a file that cannot be read; merges that do not fit the tokens, or are cut short.
    """
    tokens, merges, whole_file = (folder / name for name in ("vocab.json", "merges.txt", "tokenizer.json"))
    if tokens.exists() or merges.exists():
        source, found, pairs = merges, read(tokens), [tuple(line.split(" ")) for line in _merge_lines(merges)]
    else:
        source = whole_file
        found, pairs = _model(whole_file)
    special = set(_special_tokens(folder).values())
    if not found or sorted(map(_number, found.values())) != list(range(len(found))):
        raise _damaged(f"{tokens if source == merges else source} holds no vocabulary (tokens, numbered from 0)")
    _check_merges(source, found.keys(), pairs, special)
    return found, pairs


def tokenizer(folder: Path, longest: int) -> CLIPTokenizer:
    """The tokenizer of a folder, for sentences of at most `longest` tokens. ValueError: see `vocabulary`."""
    found, merges = vocabulary(folder)
    special = _special_tokens(folder)
    if strange := [token for token in special.values() if token not in found]:
        raise _damaged(f"{folder} has the special token {checking.shown(strange[0])}, which its vocabulary lacks")
    settings = read(path) if (path := folder / "tokenizer_config.json").exists() else {}
    room = settings.get("model_max_length", longest)
    if type(room) is not int or not 2 < room <= longest:
        raise _damaged(f"{path} has model_max_length={checking.shown(room)}, but it must be from 3 to {longest}")
    return CLIPTokenizer(vocab=found, merges=merges, model_max_length=room, **special)


def _model(path: Path) -> tuple[dict, list[tuple[str, ...]]]:
    try:
        model = read(path)["model"]
        pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(map(str, pair)) for pair in model["merges"]]
        return dict(model["vocab"]), pairs
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise _damaged(f"{path} holds no vocabulary with merges") from error


def _merge_lines(merges: Path) -> list[str]:
    """The merges in a merges.txt, "a b" each. ValueError: it cannot be read."""
    try:
        files.check_link(merges)
        lines = files.read_text(merges).splitlines()
    except ValueError as error:
        raise _damaged(str(error)[:-1]) from error
    return [line for line in lines if line.strip() and not line.startswith("#version")]


def _number(value: object) -> int:
    return value if type(value) is int else -1


def _check_merges(source: Path, tokens: Collection[str], merges: list[tuple[str, ...]], special: set[str]) -> None:
    """ValueError unless each merge joins two tokens into one, and a merge makes each token longer than a letter."""
    if len(set(merges)) != len(merges):  # which of two alike counts would be the library's choice
        raise _damaged(f"{source} has {len(merges)} merges, but {len(set(merges))} different ones")
    made = set()
    for pair in merges:
        joined = "".join(pair)
        if len(pair) != 2 or not all(token in tokens for token in (*pair, joined)):
            given = checking.shown(" ".join(pair)[:40])
            raise _damaged(f"{source} has the merge {given}, which does not join two tokens into one")
        made.add(joined)
    left = [token for token in tokens - made - special if len(token.removesuffix(WORD_END)) > 1]
    if left:
        raise _damaged(f"{source} is cut short: {len(left)} tokens, such as {checking.shown(min(left))}, have no merge")


def _special_tokens(folder: Path) -> dict[str, str]:
    """bos_token, eos_token, unk_token and pad_token: CLIP's, unless a config names others, the later one counts."""
    special = dict(MARKS)
    for path in (folder / "tokenizer_config.json", folder / "special_tokens_map.json"):
        for key, value in (read(path) if path.exists() else {}).items():
            text = value.get("content") if isinstance(value, dict) else value
            if key in MARKS and text is not None:
                special[key] = checking.kind(f"{path}: {key}", text, str, "a text")
    return special


# --- weights


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
    raise _damaged(f"{folder} has no complete set of safetensors weights, and pickles are not opened")


def bare(kind: Kind, config: dict, where: object = "") -> torch.nn.Module:
    """The part without weights, on the meta device. ValueError: sizes that do not fit one another."""
    try:
        with torch.device("meta"):
            return kind.build(**config).eval()
    except _LIBRARY_ERRORS as error:
        raise _damaged(f"{where or kind.name} has a config that does not work ({reason(error)})") from error


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
        raise _damaged(f"{folder} does not fit its config (of {kind.name}: {str(error)[:-1]})") from error


def published_name(part: str, name: str) -> str:
    """The name of a part's tensor in the files of 2023, from its name today; the inverse of what is read."""
    if part == "text_encoder":
        return f"text_model.{name.removeprefix('text_model.')}"
    for old, new in _OLD_NAMES.items():
        name = name.replace(f".attentions.0.{new}.", f".attentions.0.{old}.") if part == "vae" else name
    return name
