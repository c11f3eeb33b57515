"""The denoiser: UNet and text encoder, trained together on single frames first, then on videos with some frames.

It follows ModelScopeT2V (arXiv 2308.06571): latent diffusion that predicts the noise, on images and videos together.
Because the model is small, min-SNR weights (arXiv 2303.09556, section 3.4) and a trained text encoder are added.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import diffusers
import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from t2v_helpers import cartoon
from t2v_helpers.core.seeding import seeded
from t2v_helpers.diffusion.noise import add_noise, snr
from t2v_helpers.inside.temporal import start_silent, temporal_layers_off
from t2v_helpers.training import data
from t2v_helpers.training.loop import Task

TEXT_WIDTH, WIDTHS = 128, (64, 128)  # of the tokens, and of the UNet's two levels
MIN_SNR = 5.0  # gamma of Hang et al. 2023
SCHEDULE = {  # the whole scheduler_config.json of ModelScopeT2V; other schedulers read their own fields in it
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "thresholding": False,
    "trained_betas": None,
}


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained text encoder: tokens [b t] -> embeddings [b t 128]."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def new_unet() -> nn.Module:
    """An untrained UNet: latents [b c f h w], timesteps [b], embeddings [b t 128] -> noise [b c f h w]."""
    unet = diffusers.UNet3DConditionModel(
        sample_size=data.LATENT_SIZE,
        in_channels=data.LATENT_CHANNELS,
        out_channels=data.LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=WIDTHS,
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
        norm_num_groups=16,
    )
    start_silent(unet)
    for module in unet.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # there is no end of training clips, so there is nothing to overfit
    return unet


def new_scheduler() -> DDIMScheduler:
    """ModelScopeT2V's noise schedule and noise prediction, as published."""
    return DDIMScheduler.from_config(SCHEDULE)


@dataclass(frozen=True)
class Phase:
    """A stretch of the training: steps, frames a clip, clips a step."""

    steps: int
    frames: int
    batch: int


@dataclass(frozen=True)
class Round:
    """A number of steps at one learning rate, which falls to zero over the last share `cool_down` of them."""

    steps: int
    lr: float
    cool_down: float


@dataclass(frozen=True)
class UnetSettings:
    """What decides the weights of the UNet and the text encoder."""

    seed: int = 0
    phases: tuple[Phase, ...] = (Phase(1100, 1, 64), Phase(500, 8, 10), Phase(2000, 16, 5))
    rounds: tuple[Round, ...] = (Round(2000, 3e-3, 0.25), Round(800, 2e-3, 0.6), Round(800, 2e-3, 0.6))
    images_every: int = 8  # in the video phases every so many steps are images, as in ModelScopeT2V
    images: int = 64
    warm_up: int = 50  # steps, in each round
    min_snr: float = MIN_SNR
    empty: float = 0.1  # share of empty captions, for classifier-free guidance

    @property
    def steps(self) -> int:
        """The steps of all phases."""
        return sum(phase.steps for phase in self.phases)


class UnetTask(Task):
    """Learn to predict the noise in a clip, given its caption."""

    name, ema = "unet", 0.997

    def __init__(self, settings: UnetSettings, encoded: data.Clips, tokenizer: CLIPTokenizer):
        parts = {"unet": new_unet, "text_encoder": lambda: new_text_encoder(tokenizer)}
        modules = nn.ModuleDict({name: seeded(settings.seed, build) for name, build in parts.items()})
        super().__init__(settings, modules)
        self.clips, self.tokenizer = encoded, tokenizer
        self.alphas_cumprod = new_scheduler().alphas_cumprod

    def phase(self, k: int) -> Phase:
        """The phase of step k; within a video phase, every `images_every` steps it is one of images."""
        ends = np.cumsum([phase.steps for phase in self.settings.phases])
        phase = self.settings.phases[min(int(np.searchsorted(ends, k, side="right")), len(ends) - 1)]
        return Phase(1, 1, self.settings.images) if k % self.settings.images_every == 0 and phase.frames > 1 else phase

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents x_0 and noise [b c f h w], timesteps [b], tokens [b t]."""
        phase, rng = self.phase(k), np.random.default_rng([self.settings.seed, k])
        x_0, chosen = data.cuts(self.clips.latents, phase.batch, phase.frames, rng)
        eps, t = data.noise_and_timesteps(x_0, rng)
        captions = [self._caption(self.clips.labels[i], rng) for i in chosen]
        return x_0, eps, torch.from_numpy(t), data.tokens(self.tokenizer, captions)

    def _caption(self, labels: cartoon.Labels, rng: np.random.Generator) -> str:
        wording = (int(k) for k in rng.integers(0, 60, size=3))
        return "" if rng.random() < self.settings.empty else cartoon.caption(labels, *wording)

    def within(self, k: int) -> AbstractContextManager:
        """Turn the temporal layers off while there are only images: it halves the cost, and they start out silent."""
        images_only = k < self.settings.phases[0].steps and self.settings.phases[0].frames == 1
        return temporal_layers_off(self.modules["unet"]) if images_only else nullcontext()

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the noise, weighted by min(SNR, 5) / SNR."""
        x_0, eps, t, words = batch
        abar = self.alphas_cumprod[t]
        x_t = add_noise(x_0, eps, abar)
        noise_pred = self.modules["unet"](x_t, t, self.modules["text_encoder"](words)[0]).sample
        error = noise_error(noise_pred, eps)
        loss = (error * min_snr_weight(abar, self.settings.min_snr)).mean()
        return loss, {"eps": error.mean().item(), "frames": x_0.shape[2]}

    def lr(self, k: int) -> float:
        """In each round: linear warm-up, a constant rate, and a linear decay to zero."""
        for stretch in self.settings.rounds:
            if k < stretch.steps:
                break
            k -= stretch.steps
        left = (stretch.steps - k) / (stretch.cool_down * stretch.steps)
        return stretch.lr * max(0.0, min(1, (k + 1) / self.settings.warm_up, left))


def noise_error(noise_pred: Tensor, eps: Tensor) -> Tensor:
    """Squared error of the predicted noise [b c f h w], a mean for each sample [b]."""
    return (noise_pred - eps).square().mean(dim=(1, 2, 3, 4))


def min_snr_weight(abar: Tensor, most: float = MIN_SNR) -> Tensor:
    """min(SNR, most) / SNR, in the shape of `abar` (Hang et al. 2023, arXiv 2303.09556, section 3.4)."""
    return snr(abar).clamp(max=most) / snr(abar)
