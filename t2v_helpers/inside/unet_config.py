"""Read a UNet's folder as diffusers saves it, and check that unet.py can express its config.json and weights."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from t2v_helpers.core import checking

DOWN = ("DownBlock3D", "CrossAttnDownBlock3D")
UP = ("UpBlock3D", "CrossAttnUpBlock3D")
WHOLE = ("sample_size", "in_channels", "out_channels", "layers_per_block", "norm_num_groups", "cross_attention_dim",
         "attention_head_dim")  # fmt: skip
OPTIONAL = {  # keys that may be left out, and the one value they may have
    "downsample_padding": 1, "mid_block_scale_factor": 1, "num_attention_heads": None, "time_cond_proj_dim": None,
}  # fmt: skip


def read(folder: Path, variant: str | None = None) -> tuple[dict, dict[str, Tensor]]:
    """Configuration and float32 weights of a UNet's folder; variant: "fp16" if the weights' name has it.

    Errors: FileNotFoundError (a file is missing), ValueError (damaged, or not a configuration).
    """
    paths = folder / "config.json", folder / f"diffusion_pytorch_model{f'.{variant}' if variant else ''}.safetensors"
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: give a UNet's folder, mostly named unet, with both files.")
    try:
        config = json.loads(paths[0].read_text(encoding="utf-8"))
        weights = load_file(paths[1])
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"{folder} is cut short or damaged ({error}): copy or download it again.") from error
    return config, {key: x.float() for key, x in weights.items()}


def check_config(config: Mapping) -> None:
    """ValueError for a configuration that UNet3D cannot express: the key, its value, and what is allowed."""
    checking.kind("the configuration", config, Mapping, "keys with values")
    for key, (_, allowed) in RULES.items():
        if key not in config and key not in OPTIONAL:
            raise ValueError(f"the configuration lacks {key}, which must be {allowed}.")
    widths = config["block_out_channels"]
    for key in (key for key in config if not key.startswith("_")):
        fits, allowed = RULES.get(key, (_never, f"left out: known are {', '.join(RULES)}"))
        if not fits(config[key]):
            raise ValueError(f"the configuration has {key}={config[key]!r}, but it must be {allowed}.")
    for key in ("down_block_types", "up_block_types"):
        if len(config[key]) != len(widths):
            raise ValueError(f"{key} has {len(config[key])} entries, but block_out_channels has {len(widths)}.")
    groups, least = config["norm_num_groups"], config["attention_head_dim"]
    for width in (width for width in widths if width % groups or width < least):
        allowed = f"a multiple of norm_num_groups={groups}, and no less than attention_head_dim={least}"
        raise ValueError(f"the configuration has {width} in block_out_channels, but it must be {allowed}.")


def check_weights(weights: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> None:
    """ValueError that names the first tensor that is missing, has the wrong shape or is not needed."""
    for key, x in needed.items():
        found = f"has shape {list(weights[key].shape)}" if key in weights else "is missing"
        if found != f"has shape {list(x.shape)}":
            raise ValueError(f"{key} {found} in the weights, but the configuration needs shape {list(x.shape)}.")
    for key in weights.keys() - needed.keys():
        shape = list(weights[key].shape)
        raise ValueError(f"{key} of shape {shape} is in the weights, but the configuration has no place for it.")


def _whole(value: object) -> bool:
    return type(value) is int and value > 0


def _list_of(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list | tuple) and len(value) > 0 and all(map(fits, value))


def _never(value: object) -> bool:
    return False


RULES = {  # key of the configuration -> test of its value, and what is allowed
    **{key: (_whole, "a whole number above 0") for key in WHOLE},
    **{key: (lambda value, only=only: value == only, repr(only)) for key, only in OPTIONAL.items()},
    "act_fn": (lambda value: value == "silu", "'silu'"),
    "norm_eps": (lambda value: isinstance(value, float) and value > 0, "a fraction above 0"),
    "block_out_channels": (_list_of(lambda x: _whole(x) and x % 2 == 0), "a list of even whole numbers above 0"),
    "down_block_types": (_list_of(lambda kind: kind in DOWN), f"a list of {' and '.join(DOWN)}"),
    "up_block_types": (_list_of(lambda kind: kind in UP), f"a list of {' and '.join(UP)}"),
}
