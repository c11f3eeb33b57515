"""Check that unet.py can express a UNet's configuration, and what a call is given."""

from collections.abc import Callable, Collection, Mapping
from types import SimpleNamespace

from torch import Tensor

from t2v_helpers.core import checking, files

Rule = tuple[Callable[[object], bool], str]  # a test of a value, and what is allowed, in words
LAYERS, DEEPEST, WIDEST = 16, 8, 2**16  # the most layers in a block, blocks, and channels
TINY, HUGE = 1e-12, 1e6
LARGEST = 128  # latent pixels: 1024 of the video
DOWN = ("DownBlock3D", "CrossAttnDownBlock3D")
UP = ("UpBlock3D", "CrossAttnUpBlock3D")


def check(config: Mapping, rules: Mapping[str, Rule], optional: Collection[str] = ()) -> None:
    """ValueError for the first key that a configuration lacks, or whose value its rule does not allow."""
    for key, (fits, allowed) in rules.items():
        if key not in config and key not in optional:
            raise ValueError(f"the configuration lacks {key}, which must be {allowed}.")
        if key in config and not fits(config[key]):
            given = f"{key}={checking.shown(config[key])}"
            raise ValueError(f"the configuration has {given}, but it must be {allowed}.")


def check_config(config: Mapping) -> None:
    """ValueError for a configuration that UNet3D cannot express: the key, its value, and what is allowed."""
    checking.kind("the configuration", config, Mapping, "keys with values")
    check(config, RULES, OPTIONAL)
    for key in config.keys() - RULES.keys():
        if not key.startswith("_"):
            given = f"{files.named(key)}={checking.shown(config[key])}"
            raise ValueError(f"the configuration has {given}, but it must be left out: known are {', '.join(RULES)}.")
    widths = config["block_out_channels"]
    for key in ("down_block_types", "up_block_types"):
        if len(config[key]) != len(widths):
            raise ValueError(f"{key} has {len(config[key])} entries, but block_out_channels has {len(widths)}.")
    groups, least = config["norm_num_groups"], config["attention_head_dim"]
    for width in (width for width in widths if width % groups or width < least):
        allowed = f"a multiple of norm_num_groups={groups}, and no less than attention_head_dim={least}"
        raise ValueError(f"the configuration has {width} in block_out_channels, but it must be {allowed}.")


def check_inputs(config: SimpleNamespace, sample: Tensor, text: Tensor, others: Mapping) -> None:
    """ValueError: latents or text of other shapes than the UNet's, or an argument that only diffusers' has."""
    b, c, d = len(sample), config.in_channels, config.cross_attention_dim
    if sample.ndim != 5 or not b or sample.shape[1] != c:
        raise ValueError(f"sample has shape {list(sample.shape)}, but [b {c} f h w] is needed.")
    if text.ndim != 3 or not len(text) or len(text) % b or text.shape[2] != d:
        needed = f"[{b} t {d}] is needed, or a multiple of {b} texts"
        raise ValueError(f"encoder_hidden_states has shape {list(text.shape)}, but {needed}.")
    for name in (name for name, value in others.items() if value is not None):
        name = checking.listed(name)
        raise ValueError(f"{name} is not known to UNet3D: leave it out, or take diffusers' UNet3DConditionModel.")


def whole(most: int = WIDEST, least: int = 1) -> Rule:
    """A whole number from `least` to `most`."""
    return lambda value: type(value) is int and least <= value <= most, f"a whole number from {least} to {most}"


def number(least: float, most: float) -> Rule:
    """A number from `least` to `most`; neither a bool nor NaN is one."""
    return lambda value: type(value) in (int, float) and least <= value <= most, f"a number from {least:g} to {most:g}"


def positive() -> Rule:
    """A number above 0, by which single precision can multiply and divide."""
    return number(TINY, HUGE)


def one_of(*allowed: object) -> Rule:
    """One of `allowed`; 1, 1.0 and True are three values."""
    known = {(type(each), each) for each in allowed}
    words = " or ".join(map(repr, allowed))
    return lambda value: value.__hash__ is not None and (type(value), value) in known, words


def list_of(rule: Rule, least: int = 1, most: int = DEEPEST) -> Rule:
    """A list of `least` to `most` values that fit `rule`."""
    fits, allowed = rule
    length = f"{least}" if least == most else f"{least} to {most}"
    return lambda x: isinstance(x, list | tuple) and least <= len(x) <= most and all(map(fits, x)), (
        f"a list of {length}, each {allowed}"
    )


def even() -> Rule:
    """An even whole number of channels."""
    fits, _ = whole()
    return lambda value: fits(value) and value % 2 == 0, f"an even whole number from 2 to {WIDEST}"


OPTIONAL = {  # keys that may be left out, and the one value they may have
    "downsample_padding": 1, "mid_block_scale_factor": 1, "num_attention_heads": None, "time_cond_proj_dim": None,
}  # fmt: skip
RULES: dict[str, Rule] = {
    "sample_size": whole(LARGEST), "layers_per_block": whole(LAYERS), "attention_head_dim": whole(),
    **dict.fromkeys(("in_channels", "out_channels", "norm_num_groups", "cross_attention_dim"), whole()),
    **{key: one_of(only) for key, only in OPTIONAL.items()},
    "act_fn": one_of("silu"), "norm_eps": positive(), "block_out_channels": list_of(even()),
    "down_block_types": list_of(one_of(*DOWN)), "up_block_types": list_of(one_of(*UP)),
}  # fmt: skip
