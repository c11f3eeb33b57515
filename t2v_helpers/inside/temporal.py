"""The temporal layers of a UNet3DConditionModel: find them, switch them off, compute them another way.

A temporal layer is a residual branch across frames; without it every frame is an independent image. ModelScopeT2V
starts training with the outputs of its temporal layers at zero (arXiv 2308.06571, section 3), as an image model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from diffusers import TransformerTemporalModel
from diffusers.models.resnet import TemporalConvLayer
from torch import Tensor, nn
from torch.nn import functional as F

from t2v_helpers.core import checking

KINDS = {"convolution": TemporalConvLayer, "attention": TransformerTemporalModel}
ALONG_TIME = {"kernel_size": (3, 1, 1), "padding": (1, 0, 0), "stride": (1, 1, 1), "dilation": (1, 1, 1)}


def temporal_layers(unet: nn.Module, kinds: tuple[str, ...] = tuple(KINDS)) -> list[nn.Module]:
    """The temporal layers of these kinds, in the order of the module tree.

    ValueError: a kind other than "convolution" and "attention"; a UNet without such layers, such as the course's own.
    """
    wanted = tuple(KINDS[checking.one_of("kinds", kind, KINDS)] for kind in kinds)
    found = [module for module in unet.modules() if isinstance(module, wanted)]
    if kinds and not found:
        kind = type(unet).__name__
        raise ValueError(f"unet is a {kind} without diffusers' temporal layers: use the UNet that loading.load gives.")
    return found


@contextmanager
def temporal_layers_off(unet: nn.Module, kinds: tuple[str, ...] = tuple(KINDS)) -> Iterator[None]:
    """Within this context the temporal layers of these kinds pass their input on; restored on exit."""
    passing = {TemporalConvLayer: lambda x, num_frames=1: x, TransformerTemporalModel: lambda x, *_, **__: (x,)}
    with other_forwards({layer: passing[type(layer)] for layer in temporal_layers(unet, kinds)}):
        yield


@contextmanager
def conv2d_on_a_view(unet: nn.Module) -> Iterator[None]:
    """Within this context every Conv3d along time is computed as a Conv2d of the same weights; restored on exit.

    A kernel of (3, 1, 1) never looks at a neighbouring pixel, so on a view with the pixels in a row a kernel of (3, 1)
    makes the same sums, with kernels that libraries have tuned more. MIOpen is reported to be slow with Conv3d
    (pytorch/pytorch#146998, sgl-project/sglang#22971); `python -m t2v_helpers.studies.unet_speed` measures the gain on
    a GPU. ValueError: the model has no such convolution.
    """
    convs = [conv for conv in unet.modules() if isinstance(conv, nn.Conv3d) and conv.groups == 1]
    convs = [conv for conv in convs if all(getattr(conv, name) == value for name, value in ALONG_TIME.items())]
    if not convs:
        raise ValueError(f"unet is a {type(unet).__name__} without a Conv3d along time: give pipe.unet.")
    with other_forwards({conv: partial(_as_conv2d, conv) for conv in convs}):
        yield


@contextmanager
def other_forwards(forwards: dict[nn.Module, Callable]) -> Iterator[None]:
    """Within this context each of these modules computes by another function; restored on exit."""
    before = {module: vars(module).get("forward") for module in forwards}
    for module, forward in forwards.items():
        module.forward = forward
    try:
        yield
    finally:
        for module, forward in before.items():
            del module.forward  # uncovers the class's own
            if forward is not None:
                module.forward = forward


def _as_conv2d(conv: nn.Conv3d, x: Tensor) -> Tensor:
    y = F.conv2d(x.flatten(3), conv.weight.squeeze(-1), conv.bias, padding=(1, 0))  # [b c f n]
    return y.unflatten(3, x.shape[3:])  # [b c f h w]


def start_silent(unet: nn.Module) -> None:
    """Set the temporal attentions' output projections to zero; diffusers does so for the convolutions already."""
    for layer in temporal_layers(unet, ("attention",)):
        nn.init.zeros_(layer.proj_out.weight)
        nn.init.zeros_(layer.proj_out.bias)
