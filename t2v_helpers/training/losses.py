"""How far frames are from what they should be: the losses of the autoencoders."""

import math

import torch.nn.functional as F
from torch import Tensor


def reconstruction(x: Tensor, y: Tensor, weight: Tensor, gradient_weight: float) -> Tensor:
    """Weighted L1 of the pixels, and of the differences between neighbouring pixels."""
    return _l1(x, y, weight) + gradient_weight * _edge_l1(x, y, weight)


def psnr(x: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of frames in [-1, 1]."""
    return -10 * math.log10(F.mse_loss(x, y).item() / 4)


def _l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return (weight * (x - y).abs()).sum() / (weight.sum() * x.shape[1])


def _edge_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """L1 between the differences of neighbouring pixels, across and down."""
    difference = x - y
    across = _l1(difference[..., 1:], difference[..., :-1], weight[..., 1:])
    return across + _l1(difference[..., 1:, :], difference[..., :-1, :], weight[..., 1:, :])
