"""A VAE that overflows in half precision: inside, its numbers are as large as those of well-known large ones."""

import copy

import torch
from diffusers import AutoencoderKL
from torch import nn

from t2v_helpers.core import checking


@torch.no_grad()
def loud(vae: AutoencoderKL, k: float = 1e5) -> AutoencoderKL:
    """A copy whose decoder computes the same in float32, with its running sum multiplied by k.

    Each layer that reads the sum divides by its size first (group normalization, Wu & He 2018, arXiv 1803.08494), so
    nothing else changes. ValueError: no AutoencoderKL, or k is not a number above 0.
    """
    vae = copy.deepcopy(checking.kind("vae", vae, AutoencoderKL, "the VAE of a pipeline, pipe.vae"))
    if checking.number("k", k) <= 0:
        raise ValueError(f"k={k!r} is not allowed: use a number above 0, such as 1e5.")
    adding, passing = _layers(vae.decoder)
    for layer in adding:
        layer.weight *= k
    for layer in [*adding, *passing]:
        layer.bias *= k
    return vae


def _layers(decoder: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """The layers whose output is added to the running sum, and those that pass the sum itself on."""
    blocks = [decoder.mid_block, *decoder.up_blocks]
    resnets = [resnet for block in blocks for resnet in block.resnets]
    adding = [decoder.conv_in, *(r.conv2 for r in resnets), *(a.to_out[0] for a in decoder.mid_block.attentions)]
    shortcuts = [r.conv_shortcut for r in resnets if r.conv_shortcut is not None]
    return adding, shortcuts + [up.conv for block in decoder.up_blocks for up in block.upsamplers or []]
