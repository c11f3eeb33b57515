"""The denoiser: UNet and text encoder, trained together on single frames first, then on videos with some frames.

It follows ModelScopeT2V (arXiv 2308.06571): latent diffusion that predicts the noise, on images and videos together.
Because the model is small, min-SNR weights (arXiv 2303.09556, section 3.4) and a trained text encoder are added.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import diffusers
import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from t2v_helpers import cartoon
from t2v_helpers.core.seeding import seeded
from t2v_helpers.diffusion.noise import add_noise, snr
from t2v_helpers.inside.temporal import other_forwards, start_silent
from t2v_helpers.inside.unet import TemporalConv, TemporalTransformer, UNet3D, from_diffusers
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


def new_text_encoder(tokenizer: CLIPTokenizer, width: int = TEXT_WIDTH, layers: int = 2) -> CLIPTextModel:
    """An untrained text encoder: tokens [b t] -> embeddings [b t width]."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def new_unet(
    channels: int = data.LATENT_CHANNELS, widths: tuple[int, int] | None = None, text_width: int = TEXT_WIDTH
) -> nn.Module:
    """An untrained UNet: latents [b c f h w], timesteps [b], embeddings [b t d] -> noise [b c f h w].

    channels: c, of the latents; widths: of the two levels (None: WIDTHS); text_width: d.
    """
    unet = diffusers.UNet3DConditionModel(
        sample_size=data.LATENT_SIZE,
        in_channels=channels,
        out_channels=channels,
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=widths or WIDTHS,
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=8,
        norm_num_groups=16,
    )
    start_silent(unet)
    return without_dropout(unet)


def without_dropout(module: nn.Module) -> nn.Module:
    """The module itself, with dropout 0: there is no end of training clips, so there is nothing to overfit."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module


def new_course_unet(*sizes: Any) -> UNet3D:
    """The same untrained UNet as the course's own class: a training step takes 30 % less time than diffusers'."""
    return without_dropout(from_diffusers(new_unet(*sizes)))


def for_diffusers(unet: UNet3D) -> nn.Module:
    """The course's UNet as diffusers' class, in eval mode, with weights of its own."""
    found = new_unet()
    found.load_state_dict(unet.state_dict())
    return found.eval()


def frames_alone(unet: UNet3D) -> AbstractContextManager:
    """Turn the layers along time of the course's UNet into the identity within this context."""
    layers = (layer for layer in unet.modules() if isinstance(layer, TemporalConv | TemporalTransformer))
    return other_forwards({layer: lambda x, batch: x for layer in layers})


def new_scheduler(schedule: dict[str, Any] = SCHEDULE) -> diffusers.SchedulerMixin:
    """The scheduler of a configuration; by default ModelScopeT2V's noise schedule and prediction, as published."""
    return getattr(diffusers, schedule["_class_name"]).from_config(schedule)


@dataclass(frozen=True)
class Phase:
    """A stretch of the training: steps, frames a clip, clips a step; how often a spinning clip counts.

    What spins is turned another way in each frame, so the UNet sees each of its poses too seldom otherwise.
    """

    steps: int
    frames: int
    batch: int
    spinning: int = 1


@dataclass(frozen=True)
class Round:
    """A number of steps at one learning rate, which falls to zero over the last share `cool_down` of them."""

    steps: int
    lr: float
    cool_down: float


@dataclass(frozen=True)
class UnetSettings:
    """What decides the weights of the UNet and the text encoder.

    Each round keeps its rate for a long time before it falls, so when to stop may be decided late (Hu et al. 2024,
    arXiv 2404.06395, section 4: warm-up, stable, decay).
    """

    seed: int = 0
    phases: tuple[Phase, ...] = (
        Phase(3000, 1, 64),
        Phase(1500, 8, 12),
        Phase(3000, 16, 8),
        Phase(300, 1, 64),
        Phase(900, 8, 12),
        Phase(1700, 16, 8),
        Phase(3300, 16, 8, spinning=3),
    )
    rounds: tuple[Round, ...] = (Round(7500, 2e-3, 0.2), Round(2900, 2e-3, 0.25), Round(3300, 2e-3, 0.5))
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
    """Learn to predict the noise in a clip, given its caption. new_network: what learns to, untrained."""

    name, ema = "unet", 0.9995
    new_network = staticmethod(new_course_unet)

    def __init__(self, settings: UnetSettings, encoded: data.Clips, tokenizer: CLIPTokenizer):
        parts = {"unet": self.new_network, "text_encoder": lambda: new_text_encoder(tokenizer)}
        modules = nn.ModuleDict({name: seeded(settings.seed, build) for name, build in parts.items()})
        super().__init__(settings, modules)
        self.clips, self.tokenizer = encoded, tokenizer
        self.alphas_cumprod = new_scheduler().alphas_cumprod

    def fingerprint(self) -> dict[str, Any]:
        """The noise schedule counts, too."""
        return super().fingerprint() | {"schedule": SCHEDULE}

    def same_past(self, settings: dict[str, Any], done: int) -> bool:
        """Whether other settings agree on the first `done` steps: the plan may grow or shrink on the way."""
        return until(self.fingerprint(), done) == until(settings, done)

    def phase(self, k: int) -> Phase:
        """The phase of step k; within a video phase, every `images_every` steps it is one of images."""
        ends = np.cumsum([phase.steps for phase in self.settings.phases])
        phase = self.settings.phases[min(int(np.searchsorted(ends, k, side="right")), len(ends) - 1)]
        images = k % self.settings.images_every == 0 and phase.frames > 1
        return replace(phase, frames=1, batch=self.settings.images) if images else phase

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents x_0 and noise [b c f h w], timesteps [b], tokens [b t]."""
        phase, rng = self.phase(k), np.random.default_rng([self.settings.seed, k])
        among = spinning_often(self.clips.labels, phase.spinning)
        x_0, chosen = data.cuts(self.clips.latents, phase.batch, phase.frames, rng, among)
        eps, t = data.noise_and_timesteps(x_0, rng)
        captions = [worded(self.clips.labels[i], rng, self.settings.empty) for i in chosen]
        return x_0, eps, torch.from_numpy(t), data.tokens(self.tokenizer, captions)

    def within(self, k: int) -> AbstractContextManager:
        """Turn the temporal layers off while there are only images: it halves the cost, and they start out silent."""
        images_only = k < self.settings.phases[0].steps and self.settings.phases[0].frames == 1
        return frames_alone(self.modules["unet"]) if images_only else nullcontext()

    def embeddings(self, words: Tensor) -> Tensor:
        """Tokens [b t] -> embeddings [b t d]."""
        return self.modules["text_encoder"](words)[0]

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the noise, weighted by min(SNR, 5) / SNR."""
        x_0, eps, t, words = batch
        abar = self.alphas_cumprod[t]
        x_t = add_noise(x_0, eps, abar)
        noise_pred = self.modules["unet"](x_t, t, self.embeddings(words)).sample
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


def until(settings: dict[str, Any], done: int) -> dict[str, Any]:
    """The part of a UnetTask's settings that concerns its first `done` steps: phases and rounds are cut off there."""
    return settings | {
        "phases": [phase | {"steps": steps} for phase, steps in _begun(settings["phases"], done)],
        "rounds": [_begun_round(stretch, steps) for stretch, steps in _begun(settings["rounds"], done)],
    }


def _begun(stretches: Sequence[dict], done: int) -> Iterator[tuple[dict, int]]:
    """Each stretch that has begun after `done` steps, and how many of its steps are done."""
    for stretch in stretches:
        if done <= 0:
            return
        yield stretch, min(done, stretch["steps"])
        done -= stretch["steps"]


def _begun_round(stretch: dict, done: int) -> dict:
    """A round of which `done` steps are done. Its end counts only once its rate has begun to fall."""
    falls = stretch["steps"] * (1 - stretch["cool_down"])
    return {"lr": stretch["lr"], "done": done} | (stretch if done > falls else {})


def spinning_often(labels: Sequence[cartoon.Labels], times: int) -> np.ndarray:
    """Indices of all labels in order, those of spinning subjects `times` over."""
    return np.repeat(np.arange(len(labels)), [times if one.action == "spinning" else 1 for one in labels])


def worded(labels: cartoon.Labels, rng: np.random.Generator, empty: float) -> str:
    """A caption of these labels in a random wording; empty in this share of the cases."""
    wording = (int(k) for k in rng.integers(0, 60, size=3))
    return "" if rng.random() < empty else cartoon.caption(labels, *wording)


def noise_error(noise_pred: Tensor, eps: Tensor) -> Tensor:
    """Squared error of the predicted noise [b c f h w], a mean for each sample [b]."""
    return (noise_pred - eps).square().mean(dim=(1, 2, 3, 4))


def min_snr_weight(abar: Tensor, most: float = MIN_SNR) -> Tensor:
    """min(SNR, most) / SNR, in the shape of `abar` (Hang et al. 2023, arXiv 2303.09556, section 3.4)."""
    return snr(abar).clamp(max=most) / snr(abar)
