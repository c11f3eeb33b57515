"""Training of the tiny autoencoder, which copies the full one with less than half of the work.

It is a real AutoencoderTiny, the class of TAESD (Bohan 2023, github.com/madebyollin/taesd). The encoder learns the full
encoder's latents, already divided by their standard deviation, and the decoder learns the full decoder's pictures. So
it can replace the full one without any change to the UNet.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from t2v_helpers.core import paths
from t2v_helpers.core.seeding import seeded
from t2v_helpers.training import data
from t2v_helpers.training.autoencoder import psnr, reconstruction
from t2v_helpers.training.export import write_folder
from t2v_helpers.training.loop import Task, moved

FOLDER = paths.WEIGHTS / "tiny_vae"
FIRST = 10**6  # the first clip, far beyond those that the full autoencoder has seen


def new_tiny(channels: int = data.LATENT_CHANNELS) -> AutoencoderTiny:
    """An untrained tiny autoencoder: frames [b 3 64 64] -> latents [b channels 8 8] of unit variance, and back.

    A decoder of 24 channels and a third fewer blocks gave frames half as sharp as the drawings.
    """
    return AutoencoderTiny(
        encoder_block_out_channels=(24,) * 4,
        decoder_block_out_channels=(48,) * 4,
        latent_channels=channels,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(3, 3, 2, 0),
    )


@dataclass(frozen=True)
class TinySettings:
    """What decides the tiny autoencoder's weights, after the full one's."""

    seed: int = 0
    steps: int = 3000
    batch: int = 16
    lr: float = 3e-3
    warm_up: int = 100
    gradient_weight: float = 2.0
    laplacian_weight: float = 1.0
    latent_weight: float = 0.2


class TinyTask(Task):
    """Copy a trained autoencoder."""

    name, ema = "tiny", 0.999

    def __init__(self, settings: TinySettings, vae: AutoencoderKL):
        super().__init__(settings, seeded(settings.seed, lambda: new_tiny(vae.config.latent_channels)))
        self.vae = vae.requires_grad_(False).eval()

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames [b 3 64 64] in [-1, 1], masks [b 1 64 64], and the full autoencoder's latents and frames."""
        rendered = data.frames(self.settings.seed, FIRST + k * self.settings.batch, self.settings.batch)
        x, mask = moved(rendered, self.device)
        with torch.inference_mode():
            mean = self.vae.encode(x).latent_dist.mean  # [b c 8 8]
            seen = self.vae.decode(mean).sample
        return x, mask, (mean * self.vae.config.scaling_factor).clone(), seen.clone()

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        """L1 between both decoders' frames, their gradients and Laplacians, plus the squared error of the latents."""
        x, mask, latents, seen = batch
        y = self.modules.decode(latents).sample
        error = F.mse_loss(self.modules.encode(x).latents, latents)
        chosen = self.settings
        frames = reconstruction(seen, y, 1 + 4 * mask, chosen.gradient_weight, chosen.laplacian_weight)
        return frames + chosen.latent_weight * error, {"psnr": psnr(seen, y), "latents": error.item()}


def export(tiny: AutoencoderTiny, folder: Path = FOLDER) -> None:
    """Write a tiny autoencoder in fp16 as a folder for `AutoencoderTiny.from_pretrained`, all or nothing."""
    write_folder(folder, tiny.half())
