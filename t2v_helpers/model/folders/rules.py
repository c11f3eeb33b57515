"""What the configs of a folder may say: a rule for each key that is read; a key without one reaches no library."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError

from t2v_helpers.core import arguments, checking, files
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
    from diffusers import AutoencoderKL, AutoencoderTiny
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPVisionConfig

PARTS = ("text_encoder", "unet", "vae")  # the parts with weights
LATENT_SCALE = 8  # pixels per latent pixel, along each side
AGAIN = "copy or download the folder again"
LONGEST = 2**16  # tokens of a sentence
_SCHEDULERS = dict.fromkeys(scheduler.cls for scheduler in SCHEDULERS.values())
TEACHER = "teacher.json"  # in a student's folder: see students.py
LENT = ("vae", "text_encoder", "tokenizer")  # the parts of a student that are its teacher's
_ABSENT = [None, None]
_CLASSES = {  # part -> what model_index.json may say of it
    "text_encoder": (["transformers", "CLIPTextModel"],), "tokenizer": (["transformers", "CLIPTokenizer"],),
    "unet": (["diffusers", "UNet3DConditionModel"],),
    "vae": (["diffusers", "AutoencoderKL"], ["diffusers", "AutoencoderTiny"]),
}  # fmt: skip
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # in the VAE's attention
_PICTURES = ("vision_model.", "visual_projection.", "text_projection.", "logit_scale")  # CLIP's half for pictures
LIBRARY_ERRORS = (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError,
                  AssertionError, StrictDataclassError)  # what sizes that do not fit one another lead to  # fmt: skip


def damaged(what: str, again: str = AGAIN) -> ValueError:
    """The error of a folder: what is wrong with it, in short, and what to do."""
    return ValueError(f"{arguments.brief(what)}: {again}.")


def read(path: Path) -> dict:
    """The object in a JSON file. ValueError: see files.check_link and files.read_json."""
    try:
        files.check_link(path)
        return files.read_json(path)
    except ValueError as error:
        raise damaged(str(error)[:-1]) from error


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
    trial: computes shapes alone, with a part on the meta device; sizes that do not fit one another lead to an error.
    """

    name: str
    build: Callable[..., torch.nn.Module]
    stem: str
    rules: Mapping[str, Rule]
    today: Callable[[str], str | None]
    required: tuple[str, ...] = ()
    trial: Callable[[torch.nn.Module], object] | None = None


def _text_name(name: str) -> str | None:
    unread = name.startswith(_PICTURES) or name.endswith("position_ids")  # a buffer of older versions
    return None if unread else name.removeprefix("text_model.")


def _vae_name(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        name = name.replace(f".attentions.0.{old}.", f".attentions.0.{new}.")
    return name


def published_name(part: str, name: str) -> str:
    """The name of a part's tensor in the files of 2023, from its name today; the inverse of what is read."""
    if part == "text_encoder":
        return f"text_model.{name.removeprefix('text_model.')}"
    for old, new in _OLD_NAMES.items():
        name = name.replace(f".attentions.0.{new}.", f".attentions.0.{old}.") if part == "vae" else name
    return name


def _clip(text_config: dict, vision_config: dict, **others) -> CLIPModel:
    halves = CLIPTextConfig(**_picked(text_config, _TEXT)), CLIPVisionConfig(**_picked(vision_config, _VISION))
    return CLIPModel(CLIPConfig(text_config=halves[0].to_dict(), vision_config=halves[1].to_dict(), **others))


def _code(coder: torch.nn.Module) -> None:
    """A picture [1 3 16 16], encoded and decoded."""
    (latents,) = coder.encode(torch.empty(1, 3, 2 * LATENT_SCALE, 2 * LATENT_SCALE), return_dict=False)
    coder.decode(latents if isinstance(latents, torch.Tensor) else latents.mode())


def _see_and_read(clip: CLIPModel) -> None:
    """A picture of the network's own size, and a text of one token."""
    side = clip.config.vision_config.image_size
    clip.get_image_features(pixel_values=torch.empty(1, 3, side, side))
    clip.get_text_features(input_ids=torch.zeros(1, 1, dtype=torch.long))


_UNET = getattr(diffusers, "UNet3DConditionModel", lambda **config: UNet3D(config))
KINDS = {
    kind.name: kind
    for kind in (
        Kind("CLIPTextModel", lambda **c: CLIPTextModel(CLIPTextConfig(**c)), "model", _TEXT, _text_name),
        Kind("UNet3DConditionModel", _UNET, "diffusion_pytorch_model", unet_config.RULES, str),
        Kind("AutoencoderKL", AutoencoderKL, "diffusion_pytorch_model", _VAE, _vae_name, ("scaling_factor",), _code),
        Kind("AutoencoderTiny", AutoencoderTiny, "diffusion_pytorch_model", _TINY, str, trial=_code),
        Kind("CLIPModel", _clip, "model", {"text_config": _TABLE, "vision_config": _TABLE, "projection_dim": whole()},
             lambda name: None if name.endswith("position_ids") else name, ("text_config", "vision_config"),
             _see_and_read),
    )
}  # fmt: skip
KIND_OF = {part: KINDS[_CLASSES[part][0][1]] for part in PARTS}  # where no folder says another


def _picked(config: Mapping, rules: Mapping[str, Rule], required: tuple[str, ...] = ()) -> dict:
    """The keys that have a rule, each of which fits it; the others are left out. ValueError: see unet_config.check."""
    unet_config.check(config, rules, rules.keys() - set(required))
    return {key: config[key] for key in rules if key in config}


def config_of(folder: Path, kind: Kind) -> dict:
    """What is read of the config of a part. ValueError: of another class, or a value that its rule does not allow."""
    path = folder / "config.json"
    found = read(path)
    if kind.stem != "model" and found.get("_class_name") != kind.name:  # transformers writes no such key
        raise damaged(f"{path} has _class_name={checking.shown(found.get('_class_name'))}, but it must be {kind.name}")
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
        raise damaged(f"{where}: {str(error)[:-1]}") from error


def kinds(folder: Path) -> dict[str, Kind]:
    """Part -> its kind, by model_index.json. ValueError unless it is a TextToVideoSDPipeline with all its parts."""
    found = _index(folder)
    if all(found.get(part) == _ABSENT for part in LENT):
        what = f"{files.named(folder)} holds a student, which has no parts but a UNet and a scheduler"
        raise ValueError(f'{what}: use load("cartoon", fast=True), or with_student(pipe, folder) with its teacher.')
    _check_parts(folder, found, _CLASSES)
    return {part: KINDS[found[part][1]] for part in PARTS}


def check_student(folder: Path) -> None:
    """ValueError unless it is the folder of a student: a TextToVideoSDPipeline with a UNet and a scheduler alone."""
    if not (folder / TEACHER).is_file():
        raise damaged(f"{folder} holds no student, since it has no {TEACHER}")
    _check_parts(folder, _index(folder), {"unet": _CLASSES["unet"]} | dict.fromkeys(LENT, (_ABSENT,)))


def _index(folder: Path) -> dict:
    """model_index.json. ValueError: not of a TextToVideoSDPipeline."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(f"{files.no_file(index)}: give a folder written by save_pretrained.")
    found = read(index)
    kind = found.get("_class_name")
    if kind != "TextToVideoSDPipeline":
        raise damaged(f"{folder} holds {checking.shown(kind or 'no pipeline')}, but a TextToVideoSDPipeline is needed")
    return found


def _check_parts(folder: Path, index: dict, classes: Mapping[str, tuple[list, ...]]) -> None:
    """ValueError unless each part is of one of its classes, and all but the absent ones are there, with a scheduler."""
    there = [*(part for part, allowed in classes.items() if _ABSENT not in allowed), "scheduler"]
    if missing := [part for part in there if not (folder / part).is_dir()]:
        raise damaged(f"{folder} lacks {', '.join(missing)}")
    for part in there:
        files.check_link(folder / part)
    for part, allowed in classes.items():
        if index.get(part) not in allowed:
            given, needed = checking.shown(index.get(part)), " or ".join(map(str, allowed))
            raise damaged(f"{folder / 'model_index.json'} has {part}={given}, but {needed} is needed")


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
            raise damaged(f"{folder / part / 'config.json'} has {key}={checking.shown(given)}, but it must be {needed}")
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
    except LIBRARY_ERRORS as error:
        raise damaged(f"{path}: {reason(error)}") from error


def _in_range(made: diffusers.SchedulerMixin) -> diffusers.SchedulerMixin:
    """ValueError unless there is noise at the end of the schedule, and still some signal, by which to divide."""
    first, last = made.alphas_cumprod[0].item(), made.alphas_cumprod[-1].item()
    least = 0 if made.config.prediction_type != "epsilon" else 1e-8
    if not least <= last < first < 1:
        raise ValueError(f"its betas lead alpha-bar from {first:g} to {last:g}, and not down from 1 to just above 0.")
    return made
