"""The layers of a UNet3DConditionModel that join the frames: find them, silence them, start them silent.

A temporal layer is a residual branch across frames; without it every frame is an image of its own. ModelScopeT2V starts
training with the outputs of its temporal layers at zero (arXiv 2308.06571, section 3): an image model to begin with.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers import TransformerTemporalModel, UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from torch import nn

KINDS = {"convolution": TemporalConvLayer, "attention": TransformerTemporalModel}


def temporal_layers(unet: UNet3DConditionModel, kinds: tuple[str, ...] = tuple(KINDS)) -> list[nn.Module]:
    """The temporal layers of these kinds, in the order of the module tree.

    Raises ValueError for a kind other than "convolution" and "attention".
    """
    strange = [kind for kind in kinds if kind not in KINDS]
    if strange:
        raise ValueError(f"kinds has {strange[0]!r}, but allowed are: {', '.join(KINDS)}.")
    wanted = tuple(KINDS[kind] for kind in kinds)
    return [module for module in unet.modules() if isinstance(module, wanted)]


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


def start_silent(unet: UNet3DConditionModel) -> None:
    """Set the temporal attentions' output projections to zero; diffusers does so for the convolutions already."""
    for layer in temporal_layers(unet, ("attention",)):
        nn.init.zeros_(layer.proj_out.weight)
        nn.init.zeros_(layer.proj_out.bias)


def _pass_on(hidden_states, num_frames=1):
    return hidden_states


def _pass_on_in_tuple(hidden_states, *args, **kwargs):
    return (hidden_states,)
