"""The autoencoder's decoder, trained on until its frames are as sharp as drawings.

A decoder that learns from L1 alone answers doubt with a blur: its frames have less contrast between neighbouring pixels
than drawings. So another loss compares that contrast, patch by patch, wherever exactly an edge is (Abrahamyan et al.
2022, arXiv 2202.00997: gradient variance). The encoder stays as it is, so the latents do as well, and whatever was
trained on them. The latents get some noise, since those of a denoiser are never exact.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from t2v_helpers.core.seeding import generator
from t2v_helpers.training import data
from t2v_helpers.training.autoencoder import laplacian, psnr, reconstruction, weighted_l1
from t2v_helpers.training.loop import Task, moved
from t2v_helpers.training.tiny_autoencoder import FIRST

PATCH = 5  # pixels, the side of the patches whose contrast is compared


@dataclass(frozen=True)
class DecoderSettings:
    """What decides the decoder's weights, after the autoencoder's."""

    seed: int = 1
    steps: int = 300
    batch: int = 16
    lr: float = 5e-4
    warm_up: int = 50
    contrast_weight: float = 3.0
    noise: float = 0.2  # in the latents, at most: of their standard deviation


class DecoderTask(Task):
    """Decode slightly noisy latents of drawings, with the drawings' contrast. The decoder of `vae` itself learns.

    scaling_factor: one over the standard deviation of the latents.
    """

    name, ema = "decoder", 0.995

    def __init__(self, settings: DecoderSettings, vae: AutoencoderKL, scaling_factor: float):
        self.vae, self.scaling_factor = vae.requires_grad_(False).eval(), scaling_factor
        learning = nn.ModuleDict({"decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv})
        super().__init__(settings, learning.requires_grad_(True))

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [b 3 64 64] in [-1, 1], their subjects' masks [b 1 64 64], noisy latents [b c 8 8]."""
        chosen, rng = self.settings, generator(k)
        x, mask = moved(data.frames(chosen.seed, FIRST + k * chosen.batch, chosen.batch), self.device)
        with torch.inference_mode():
            z = self.vae.encode(x).latent_dist.mean
        level = chosen.noise / self.scaling_factor * torch.rand(len(x), 1, 1, 1, generator=rng)
        return x, mask, z.clone() + (level * torch.randn(z.shape, generator=rng)).to(self.device)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The autoencoder's loss, with all its weights, and the L1 of the contrast."""
        x, mask, z = batch
        y = self.modules["decoder"](self.modules["post_quant_conv"](z))
        weight = 1 + 4 * mask
        unlike = weighted_l1(contrast(x), contrast(y), weight)
        loss = reconstruction(x, y, weight, 1.0, 0.3) + self.settings.contrast_weight * unlike
        return loss, {"psnr": psnr(x, y), "contrast": unlike.item()}


def contrast(x: Tensor) -> Tensor:
    """The root mean square of the Laplacian around each pixel [b c h w], over PATCH x PATCH pixels."""
    around = F.avg_pool2d(laplacian(x).square(), PATCH, stride=1, padding=PATCH // 2, count_include_pad=False)
    return (around + 1e-4).sqrt()  # a root has no gradient at zero
