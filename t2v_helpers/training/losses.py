"""The losses: reconstruction for autoencoders, squared error of the noise for denoisers."""

import math

import torch.nn.functional as F
from torch import Tensor

from t2v_helpers.diffusion.noise import snr

MIN_SNR = 5.0  # gamma of Hang et al. 2023


def noise_error(noise_pred: Tensor, eps: Tensor) -> Tensor:
    """Squared error of the predicted noise [b c f h w], a mean for each sample [b]."""
    return (noise_pred - eps).square().mean(dim=(1, 2, 3, 4))


def min_snr_weight(abar: Tensor, most: float = MIN_SNR) -> Tensor:
    """min(SNR, most) / SNR, in the shape of `abar` (Hang et al. 2023, arXiv 2303.09556, section 3.4)."""
    return snr(abar).clamp(max=most) / snr(abar)


def reconstruction(x: Tensor, y: Tensor, weight: Tensor, gradient_weight: float) -> Tensor:
    """Weighted L1 of pixels, plus that of the differences between neighbouring pixels, across and down."""
    difference = x - y
    across = _l1(difference[..., 1:] - difference[..., :-1], weight[..., 1:])
    down = _l1(difference[..., 1:, :] - difference[..., :-1, :], weight[..., 1:, :])
    return _l1(difference, weight) + gradient_weight * (across + down)


def psnr(x: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of frames in [-1, 1]."""
    return -10 * math.log10(F.mse_loss(x, y).item() / 4)


def _l1(difference: Tensor, weight: Tensor) -> Tensor:
    return (weight * difference.abs()).sum() / (weight.sum() * difference.shape[1])
