"""The autoencoder: single frames to latents and back.

Our own addition to the usual L1 and KL losses is a weight on the subject, which is small, and on fine detail:
differences of neighbouring pixels, Laplacians.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from t2v_helpers import cartoon
from t2v_helpers.core.seeding import generator, seeded
from t2v_helpers.training import data
from t2v_helpers.training.loop import Task

WIDTHS = (32, 64, 96, 96)  # channels, from full to an eighth of the resolution


def new_vae() -> AutoencoderKL:
    """An untrained autoencoder: frames [b 3 64 64] -> latents [b c 8 8] and back, c = data.LATENT_CHANNELS."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=data.LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=cartoon.SIZE,
    )


@dataclass(frozen=True)
class VaeSettings:
    """What decides the autoencoder's weights."""

    seed: int = 0
    steps: int = 3600
    batch: int = 16
    lr: float = 5e-3
    warm_up: int = 100
    subject_weight: float = 4.0  # a pixel of the subject counts 1 + this
    gradient_weight: float = 1.0  # of the differences between neighbouring pixels
    laplacian_weight: float = 0.3
    kl_weight: float = 2e-3  # the noise in the latents that this allows costs about 2 % of the loss
    bfloat16: bool = True  # convolutions in half precision: twice as fast where the processor has AMX


class VaeTask(Task):
    """Learn to encode and decode single frames of training clips."""

    name, ema = "vae", 0.999

    def __init__(self, settings: VaeSettings):
        super().__init__(settings, seeded(settings.seed, new_vae))

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [b 3 64 64] in [-1, 1], subject masks [b 1 64 64] in [0, 1], noise for the latents [b c 8 8]."""
        x, mask = data.frames(self.settings.seed, k * self.settings.batch, self.settings.batch)
        shape = len(x), data.LATENT_CHANNELS, data.LATENT_SIZE, data.LATENT_SIZE
        return x, mask, torch.randn(shape, generator=generator(k))

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """L1 of pixels, their differences and Laplacians, weighted towards the subject, and a small KL term."""
        (x, mask, eps), chosen = batch, self.settings
        y, kl = self._through(x, eps)
        loss = reconstruction(x, y, 1 + chosen.subject_weight * mask, chosen.gradient_weight, chosen.laplacian_weight)
        return loss + chosen.kl_weight * kl, {"psnr": psnr(x, y), "kl": kl.item()}

    def _through(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Frames decoded from noisy latents, float32, and the KL divergence in nats for each latent number."""
        with in_bfloat16(x, self.settings.bfloat16):
            moments = self.modules.quant_conv(self.modules.encoder(x)).float()
            latent = DiagonalGaussianDistribution(moments)
            y = self.modules.decode(latent.mean + latent.std * eps).sample
        return y.float(), latent.kl().mean() / latent.mean[0].numel()


def in_bfloat16(x: Tensor, wanted: bool) -> AbstractContextManager:
    """Half precision on the device of x, if wanted. It is set per thread, so it is entered where it is needed."""
    return torch.autocast(x.device.type, torch.bfloat16) if wanted else nullcontext()


def reconstruction(x: Tensor, y: Tensor, weight: Tensor, gradient_weight: float, laplacian_weight: float = 0) -> Tensor:
    """Weighted L1 of pixels, plus that of the differences between neighbours, plus that of their Laplacians."""
    loss = weighted_l1(x, y, weight) + gradient_weight * _edge_l1(x, y, weight)
    return loss + laplacian_weight * weighted_l1(laplacian(x), laplacian(y), weight) if laplacian_weight else loss


def psnr(x: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of frames in [-1, 1]."""
    return -10 * math.log10(F.mse_loss(x, y).item() / 4)


def weighted_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """The mean |x - y| of [b c h w], each pixel counted as often as its weight [b 1 h w] says."""
    return (weight * (x - y).abs()).sum() / (weight.sum() * x.shape[1])


def laplacian(x: Tensor) -> Tensor:
    """The sum of each pixel's four neighbours less four times the pixel [b c h w]: fine detail alone."""
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return p[..., 1:-1, 2:] + p[..., 1:-1, :-2] + p[..., 2:, 1:-1] + p[..., :-2, 1:-1] - 4 * x


def _edge_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    difference = x - y
    across = weighted_l1(difference[..., 1:], difference[..., :-1], weight[..., 1:])
    return across + weighted_l1(difference[..., 1:, :], difference[..., :-1, :], weight[..., 1:, :])
