"""The layers of a UNet3DConditionModel that join the frames: find them, silence them, compute them another way.

A temporal layer is a residual branch across frames; without it every frame is an image of its own. ModelScopeT2V starts
training with the outputs of its temporal layers at zero (arXiv 2308.06571, section 3): an image model to begin with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from diffusers import TransformerTemporalModel, UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from torch import Tensor, nn
from torch.nn import functional as F

KINDS = {"convolution": TemporalConvLayer, "attention": TransformerTemporalModel}
ALONG_TIME = {"kernel_size": (3, 1, 1), "padding": (1, 0, 0), "stride": (1, 1, 1), "dilation": (1, 1, 1)}


def temporal_layers(unet: UNet3DConditionModel, kinds: tuple[str, ...] = tuple(KINDS)) -> list[nn.Module]:
    """The temporal layers of these kinds, in the order of the module tree.

    ValueError: a kind other than "convolution" and "attention"; a UNet without such layers, the course's own say.
    """
    strange = [kind for kind in kinds if kind not in KINDS]
    if strange:
        raise ValueError(f"kinds has {strange[0]!r}, but allowed are: {', '.join(KINDS)}.")
    wanted = tuple(KINDS[kind] for kind in kinds)
    found = [module for module in unet.modules() if isinstance(module, wanted)]
    if kinds and not found:
        raise ValueError(
            f"unet is a {type(unet).__name__} without diffusers' temporal layers: load the model without fast=True."
        )
    return found


@contextmanager
def temporal_layers_off(unet: UNet3DConditionModel, kinds: tuple[str, ...] = tuple(KINDS)) -> Iterator[None]:
    """Within this context the temporal layers of these kinds pass their input on; restored on exit."""
    layers = temporal_layers(unet, kinds)
    for layer in layers:
        layer.forward = _pass_on if isinstance(layer, TemporalConvLayer) else _pass_on_in_tuple
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the class's own forward shows again


@contextmanager
def conv2d_on_a_view(unet: nn.Module) -> Iterator[None]:
    """Within this context every Conv3d along time is computed as a Conv2d of the same weights; restored on exit.

    A kernel of (3, 1, 1) never looks at a neighbouring pixel. So with the pixels in a row, a view that copies nothing,
    a kernel of (3, 1) adds up the same products: the same sums, by kernels that libraries have tuned more. MIOpen is
    reported to be slow with Conv3d (pytorch/pytorch#146998, sgl-project/sglang#22971); what it gains on a GPU,
    `python -m t2v_helpers.speed` measures there. ValueError: the model has no such convolution.
    """
    convs = [conv for conv in unet.modules() if isinstance(conv, nn.Conv3d) and _along_time(conv)]
    if not convs:
        raise ValueError(f"unet is a {type(unet).__name__} without a Conv3d along time: give pipe.unet.")
    before = [vars(conv).get("forward") for conv in convs]
    for conv in convs:
        conv.forward = partial(_as_conv2d, conv)
    try:
        yield
    finally:
        for conv, forward in zip(convs, before, strict=True):
            del conv.forward  # the class's own shows again
            if forward is not None:
                conv.forward = forward


def _along_time(conv: nn.Conv3d) -> bool:
    return conv.groups == 1 and all(getattr(conv, name) == value for name, value in ALONG_TIME.items())


def _as_conv2d(conv: nn.Conv3d, x: Tensor) -> Tensor:
    y = F.conv2d(x.flatten(3), conv.weight.squeeze(-1), conv.bias, padding=(1, 0))  # [b c f n]
    return y.unflatten(3, x.shape[3:])  # [b c f h w]


def start_silent(unet: UNet3DConditionModel) -> None:
    """Set the temporal attentions' output projections to zero; diffusers does so for the convolutions already."""
    for layer in temporal_layers(unet, ("attention",)):
        nn.init.zeros_(layer.proj_out.weight)
        nn.init.zeros_(layer.proj_out.bias)


def without_dropout(module: nn.Module) -> nn.Module:
    """The module itself, its dropouts set to 0; diffusers' temporal convolutions come with 0.1, whatever the config."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module


def _pass_on(hidden_states, num_frames=1):
    return hidden_states


def _pass_on_in_tuple(hidden_states, *args, **kwargs):
    return (hidden_states,)
