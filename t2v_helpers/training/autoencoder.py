"""The autoencoder: single frames to latents and back. Afterwards its decoder alone learns for longer.

The second stage leaves the latents as they are and makes the frames sharper. Our own addition to the usual L1 and KL
losses is a weight on the subject, which is small, and on the differences between neighbouring pixels.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from t2v_helpers import cartoon
from t2v_helpers.core.seeding import generator, seeded
from t2v_helpers.training import data
from t2v_helpers.training.loop import Task

WIDTHS = (16, 32, 64, 96)  # channels, from full to an eighth of the resolution


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
    steps: int = 2000
    batch: int = 16
    lr: float = 5e-3
    warm_up: int = 100
    subject_weight: float = 4.0  # a pixel of the subject counts 1 + this
    gradient_weight: float = 1.0  # of the differences between neighbouring pixels
    kl_weight: float = 2e-4


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
        """L1 of pixels and of their differences, weighted towards the subject, and a small KL term."""
        x, mask, eps = batch
        weight = 1 + self.settings.subject_weight * mask
        latent = self.modules.encode(x).latent_dist
        y = self.modules.decode(latent.mean + latent.std * eps).sample
        kl = latent.kl().mean() / latent.mean[0].numel()
        loss = reconstruction(x, y, weight, self.settings.gradient_weight) + self.settings.kl_weight * kl
        return loss, {"psnr": psnr(x, y), "kl": kl.item()}


@dataclass(frozen=True)
class DecoderSettings:
    """What decides the decoder's weights, after the autoencoder's."""

    steps: int = 2000
    batch: int = 16
    lr: float = 3e-3
    warm_up: int = 100
    gradient_weight: float = 2.0


class DecoderTask(Task):
    """Train only the decoder of a trained autoencoder, on frames it has not seen."""

    name, ema = "decoder", 0.999

    def __init__(self, settings: DecoderSettings, trained: VaeSettings, vae: AutoencoderKL):
        self.vae, self.trained = vae.requires_grad_(False).eval(), trained
        modules = nn.ModuleDict({"post_quant_conv": vae.post_quant_conv, "decoder": vae.decoder})
        super().__init__(settings, modules.requires_grad_(True))

    def fingerprint(self) -> dict[str, Any]:
        """The settings of the autoencoder count, too."""
        return {"vae": asdict(self.trained)} | super().fingerprint()

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [b 3 64 64] in [-1, 1], their masks [b 1 64 64] in [0, 1], their latents [b c 8 8]."""
        seen, size = self.trained.steps * self.trained.batch, self.settings.batch
        x, mask = data.frames(self.trained.seed, seen + k * size, size)
        with torch.inference_mode():
            latents = self.vae.encode(x).latent_dist.mean
        return x, mask, latents.clone()

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """L1 of pixels and of their differences, weighted towards the subject."""
        x, mask, latents = batch
        y = self.modules["decoder"](self.modules["post_quant_conv"](latents))
        weight = 1 + self.trained.subject_weight * mask
        return reconstruction(x, y, weight, self.settings.gradient_weight), {"psnr": psnr(x, y)}


def reconstruction(x: Tensor, y: Tensor, weight: Tensor, gradient_weight: float) -> Tensor:
    """Weighted L1 of pixels, plus that of the differences between neighbouring pixels, across and down."""
    return _l1(x, y, weight) + gradient_weight * _edge_l1(x, y, weight)


def psnr(x: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of frames in [-1, 1]."""
    return -10 * math.log10(F.mse_loss(x, y).item() / 4)


def _l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return (weight * (x - y).abs()).sum() / (weight.sum() * x.shape[1])


def _edge_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    difference = x - y
    across = _l1(difference[..., 1:], difference[..., :-1], weight[..., 1:])
    return across + _l1(difference[..., 1:, :], difference[..., :-1, :], weight[..., 1:, :])
