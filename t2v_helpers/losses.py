"""How far frames are from what they should be: the losses of the autoencoders."""

import math

import torch.nn.functional as F
from torch import Tensor


def reconstruction(x: Tensor, y: Tensor, weight: Tensor, gradient_weight: float, laplacian_weight: float = 0) -> Tensor:
    """Weighted L1 of the pixels, of the differences between neighbouring pixels, and of their Laplacians."""
    loss = _l1(x, y, weight) + gradient_weight * _edge_l1(x, y, weight)
    return loss + laplacian_weight * _laplacian_l1(x, y, weight) if laplacian_weight else loss


def psnr(x: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of frames in [-1, 1]."""
    return -10 * math.log10(F.mse_loss(x, y).item() / 4)


def _l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return (weight * (x - y).abs()).sum() / (weight.sum() * x.shape[1])


def _laplacian_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """L1 between how far each pixel is from its four neighbours' sum, four times itself: fine detail alone."""
    d = F.pad(x - y, (1, 1, 1, 1), mode="replicate")
    around = d[..., 1:-1, 2:] + d[..., 1:-1, :-2] + d[..., 2:, 1:-1] + d[..., :-2, 1:-1]
    return _l1(around, 4 * d[..., 1:-1, 1:-1], weight)


def _edge_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """L1 between the differences of neighbouring pixels, across and down."""
    difference = x - y
    across = _l1(difference[..., 1:], difference[..., :-1], weight[..., 1:])
    return across + _l1(difference[..., 1:, :], difference[..., :-1, :], weight[..., 1:, :])
