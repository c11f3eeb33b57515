"""All changes of axes and of value range.

Models want videos as float [b c f h w] in [-1, 1]; files and screens want uint8 [b f h w c]. The letters are
b batch, c channels, f frames, h height, w width.
"""

import torch
from torch import Tensor

from t2v_helpers.core import checking

_BROKEN = "the video holds NaN or infinite values: try less guidance, dtype float32, or less of a LoRA."


def _require(axes: str, x: Tensor, name: str = "x") -> None:
    checking.kind(name, x, Tensor, f"a tensor [{axes}], which torch.from_numpy makes of an array")
    if x.ndim != len(axes.split()):
        raise ValueError(f"{name} has shape {list(x.shape)}, but [{axes}] is needed: add or remove axes.")


def _require_pixels(axes: str, x: Tensor, name: str, instead: str) -> None:
    """`_require`, and one or three channels that hold values; `instead` is what to do with other channels."""
    _require(axes, x, name)
    if x.is_meta:  # the networks may fold such a tensor to learn a shape, but there is nothing to see in it
        raise ValueError(f"{name} is on the device meta, where tensors hold no values: use one on the CPU or a GPU.")
    channels = x.shape[axes.split().index("c")]
    if channels not in (1, 3):
        found = f"{name} has shape {list(x.shape)}, so {channels} channels in [{axes}]"
        raise ValueError(f"{found}, but 3 (or 1, grey) are needed: {instead}.")


def fold_frames(x: Tensor) -> Tensor:
    """Move the frames of each video into the batch: [b c f h w] -> [(b f) c h w]. ValueError: not five axes.

    A network made for images (the VAE, a spatial convolution) reads a video so.
    """
    _require("b c f h w", x)
    return x.transpose(1, 2).flatten(0, 1)  # [(b f) c h w]


def unfold_frames(x: Tensor, batch: int) -> Tensor:
    """Undo `fold_frames`: [(b f) c h w] -> [b c f h w] with b = `batch`.

    ValueError: not four axes, or `batch` does not divide the number of images.
    """
    _require("bf c h w", x)
    if batch < 1 or len(x) % batch:
        raise ValueError(f"{len(x)} images cannot be shared among batch={batch} videos: batch must divide {len(x)}.")
    return x.unflatten(0, (batch, -1)).transpose(1, 2)  # [b c f h w]


def to_uint8(x: Tensor, broken: str = _BROKEN) -> Tensor:
    """From a model to the screen: float [b c f h w] in [-1, 1] -> uint8 [b f h w c]; values outside are clipped.

    ValueError: no tensor, not five axes, frames before channels, channels of a latent, no floats, or values that are
    not finite: then it says `broken`, for who knows more of the model.
    """
    _require("b c f h w", x)
    if x.shape[2] == 3 and x.shape[1] not in (1, 3):
        raise ValueError(f"x has shape {list(x.shape)}, which looks like [b f c h w]: use x.transpose(1, 2).")
    _require_pixels("b c f h w", x, "x", "decode latents first, or put the axes in this order")
    if not x.is_floating_point():
        raise ValueError(f"x is {x.dtype}, but floats from -1 to 1 are needed: {_as_floats(x)}.")
    if not torch.isfinite(x).all():
        raise ValueError(broken)
    pixels = (x.float() / 2 + 0.5).clamp(0, 1) * 255
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 4, 1)  # [b f h w c]


def _as_floats(x: Tensor) -> str:
    if x.is_complex():
        return "choose its real part or its absolute value, and bring that to -1 to 1"
    return "use 2 * x.float() - 1" if x.dtype == torch.bool else "use x.float() / 127.5 - 1 for 0 to 255"


def to_float(frames: Tensor) -> Tensor:
    """From the screen to a model: uint8 [b f h w c] -> float32 [b c f h w] in [-1, 1].

    ValueError: no tensor, not five axes, a channel for alpha, or not uint8.
    """
    _require_pixels("b f h w c", frames, "frames", "leave alpha out by [..., :3], or put the axes in this order")
    if frames.dtype != torch.uint8:
        raise ValueError(f"frames are {frames.dtype}, but uint8 (0 to 255) is needed, as layout.to_uint8 makes it.")
    return frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1  # [b c f h w]
