"""How the tiny autoencoder is trained: it copies what the full one does, in a fifth of the work.

It is a real AutoencoderTiny, the class of TAESD (Bohan 2023, github.com/madebyollin/taesd). The encoder learns to give
the full encoder's latents, already divided by their standard deviation, and the decoder the full decoder's pictures.
So it fits in the place of the full one: the UNet does not notice.
"""

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from t2v_helpers import dataset, files
from t2v_helpers.losses import psnr, reconstruction
from t2v_helpers.training import cosine, seeded

FOLDER = Path(__file__).parent / "cartoon" / "tiny_vae"
FIRST = 10**6  # the first clip: what the full one learned from stands far before


def new_tiny(channels: int = dataset.LATENT_CHANNELS) -> AutoencoderTiny:
    """An untrained tiny autoencoder: frames [b 3 64 64] -> latents [b channels 8 8] of size one and back."""
    return AutoencoderTiny(
        encoder_block_out_channels=(24,) * 4,
        decoder_block_out_channels=(24,) * 4,
        latent_channels=channels,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(3, 2, 1, 0),
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
    latent_weight: float = 0.2


class TinyTask:
    """Copy a trained autoencoder. Settings: TinySettings. A `training.Task`."""

    name, ema = "tiny", 0.999

    def __init__(self, settings: TinySettings, vae: AutoencoderKL):
        self.modules = seeded(settings.seed, lambda: new_tiny(vae.config.latent_channels))
        self.vae = vae.requires_grad_(False).eval()
        self.chosen, self.steps, self.settings = settings, settings.steps, asdict(settings)

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames [b 3 64 64] in [-1, 1], masks [b 1 64 64], and what the full one makes: latents, and frames again."""
        x, mask = dataset.frames(self.chosen.seed, FIRST + k * self.chosen.batch, self.chosen.batch)
        with torch.inference_mode():
            mean = self.vae.encode(x).latent_dist.mean  # [b c 8 8]
            seen = self.vae.decode(mean).sample
        return x, mask, (mean * self.vae.config.scaling_factor).clone(), seen.clone()

    def within(self, k: int) -> nullcontext:
        """Nothing to set."""
        return nullcontext()

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        """L1 of pixels and of their differences to the full decoder's, and the squared error of the latents."""
        x, mask, latents, seen = batch
        y = self.modules.decode(latents).sample
        wrong = F.mse_loss(self.modules.encode(x).latents, latents)
        frames = reconstruction(seen, y, 1 + 4 * mask, self.chosen.gradient_weight)
        return frames + self.chosen.latent_weight * wrong, {"psnr": psnr(seen, y), "latents": wrong.item()}

    def lr(self, k: int) -> float:
        """Warm-up, then a cosine to zero."""
        return self.chosen.lr * min(1, (k + 1) / self.chosen.warm_up) * cosine(k / self.steps)


def ship(tiny: AutoencoderTiny, folder: Path = FOLDER) -> None:
    """Write a tiny autoencoder in fp16 as a folder for `AutoencoderTiny.from_pretrained`, all of it or nothing."""

    def write(new: Path) -> None:
        tiny.half().save_pretrained(new, safe_serialization=True)
        files.write_manifest(new)

    files.replace_folder(folder, write)
