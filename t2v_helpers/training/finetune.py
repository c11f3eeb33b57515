"""Trains the few numbers that somebody has put beside a frozen UNet, on a handful of clips with captions.

    new = Examples(encode(pipe, videos), read(pipe, captions))
    for loss in train(pipe, lora.add(pipe, rank=4), new): ...

Every step is a batch of single frames, or of short cuts of the clips; all of its random numbers follow from (seed, k)
alone, and the base model may run in half precision while what is learned stays in float32. Latents are [n c f h w] of
size about one, text is [n t d].
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from t2v_helpers.core import layout, seeding
from t2v_helpers.diffusion.noise import add_noise, snr
from t2v_helpers.model import loading
from t2v_helpers.model.pipeline import check_pipe

MIN_SNR = 5.0


@dataclass(frozen=True)
class Examples:
    """What there is to learn from: latents [n c f h w] and the text of each, [n t d]. ValueError: none, or unlike."""

    latents: Tensor
    text: Tensor

    def __post_init__(self):
        for name, axes, maker in (("latents", "n c f h w", "encode"), ("text", "n t d", "read")):
            x = getattr(self, name)
            if not isinstance(x, Tensor) or x.ndim != len(axes.split()):
                raise ValueError(f"{name} is {_shown(x)}, but a tensor [{axes}] is needed: take tuning.{maker}'s.")
        if len(self.latents) != len(self.text) or not len(self.text):
            given = f"{len(self.latents)} latents and {len(self.text)} texts"
            raise ValueError(f"there are {given}: give as many of each, at least 1.")


@dataclass(frozen=True)
class Settings:
    """How it is learned. `frames`: of a cut, 1 learns from single pictures; `old`: the share of a batch that shows what
    the model could draw before (the prior preservation of DreamBooth, Ruiz et al. 2022, arXiv 2208.12242, section 3.3).
    """

    steps: int = 100
    batch: int = 16
    frames: int = 1
    lr: float = 5e-3
    warm_up: int = 10
    old: float = 0.5
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch", "frames", "warm_up"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name}={value!r} is not allowed: use a whole number, 1 or more.")
        if not isinstance(self.lr, int | float) or isinstance(self.lr, bool) or not 0 < self.lr < float("inf"):
            raise ValueError(f"lr={self.lr!r} is not allowed: use a number above 0.")
        if not isinstance(self.old, int | float) or not 0 <= self.old < 1:
            raise ValueError(f"old={self.old!r} is not allowed: use a share of the batch, from 0 to below 1.")
        seeding.check_seed(self.seed)


@torch.no_grad()
def encode(pipe, videos: Sequence[np.ndarray]) -> Tensor:
    """Clips, each uint8 [f h w 3] of one size, as the UNet sees them: float32 latents [n c f h w] on the CPU.

    ValueError: no pipeline or clips, no such arrays, clips of unlike size, or one that the model cannot halve enough.
    """
    check_clips(pipe, videos)
    device, dtype = pipe._execution_device, pipe.vae.dtype
    latents = []
    for clip in videos:
        x = layout.to_float(torch.from_numpy(np.ascontiguousarray(clip[None])))  # [1 c f h w]
        mean = pipe.vae.encode(layout.fold_frames(x).to(device, dtype)).latent_dist.mean  # [f c h w]
        latents.append(layout.unfold_frames(mean * pipe.vae.config.scaling_factor, 1).float().cpu())
    return torch.cat(latents)  # [n c f h w]


def check_clips(pipe, videos: Sequence[np.ndarray]) -> None:
    """What `encode` refuses, before anything is computed. ValueError: see there."""
    check_pipe(pipe)
    if not isinstance(videos, Sequence | np.ndarray):
        raise ValueError(f"videos is a {type(videos).__name__}: give a list of clips, uint8 [f h w 3].")
    if len(videos) == 0:
        raise ValueError("videos is empty: give at least one clip, uint8 [f h w 3].")
    for n, clip in enumerate(videos):
        if not isinstance(clip, np.ndarray) or clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[-1] != 3:
            raise ValueError(f"clip {n} is {_shown(clip)}, but uint8 [f h w 3] is needed.")
        if clip.shape != videos[0].shape:
            size = f"{list(clip.shape)}, and clip 0 {list(videos[0].shape)}"
            raise ValueError(f"clip {n} has shape {size}: cut and resize them to one size.")
    multiple = loading.size_multiple(pipe)
    if any(pixels == 0 or pixels % multiple for pixels in videos[0].shape[1:3]) or len(videos[0]) == 0:
        size = "x".join(map(str, videos[0].shape[1:3]))
        raise ValueError(f"the clips are of {size} pixels in {len(videos[0])} frames: use multiples of {multiple}.")


def _shown(x: object) -> str:
    return f"{x.dtype} {list(x.shape)}" if isinstance(x, np.ndarray | Tensor) else f"a {type(x).__name__}"


@torch.no_grad()
def read(pipe, captions: Sequence[str]) -> Tensor:
    """What the text encoder makes of the captions, float32 [n t d] on the CPU. ValueError: no pipeline, no texts."""
    check_pipe(pipe)
    listed = isinstance(captions, Sequence) and not isinstance(captions, str) and len(captions) > 0
    if not listed or not all(isinstance(caption, str) for caption in captions):
        raise ValueError(f"captions={captions!r} is not allowed: give a list with the caption of each clip.")
    tokens = pipe.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids
    return pipe.text_encoder(tokens.to(pipe._execution_device))[0].float().cpu()  # [n t d]


def train(
    pipe,
    parameters: list[nn.Parameter],
    new: Examples,
    old: Examples | None = None,
    settings: Settings | None = None,
) -> Iterator[float]:
    """Learn, and yield the loss after each step. AdamW; the norm of the gradient is held to 1.

    Without old examples every batch is new. ValueError: no pipeline, nothing to learn, no Examples or Settings, or
    clips shorter than settings.frames.
    """
    settings = Settings() if settings is None else settings
    _check_kinds(pipe, parameters, new, old, settings)
    for examples in filter(None, (new, old)):
        if settings.frames > examples.latents.shape[2]:
            raise ValueError(f"frames={settings.frames} is more than the {examples.latents.shape[2]} of the clips.")
        if examples.latents.shape[-2:] != new.latents.shape[-2:]:
            sizes = f"{list(examples.latents.shape)} and {list(new.latents.shape)}"
            raise ValueError(f"the latents are {sizes}: give old and new clips of one size.")
    return _train(pipe, parameters, new, old, settings)


def _check_kinds(pipe, parameters, new, old, settings) -> None:
    check_pipe(pipe)
    if not isinstance(parameters, list) or not parameters:
        raise ValueError("parameters is empty or no list: give what lora.add(pipe) has put beside the UNet.")
    for name, value, kinds in (("new", new, Examples), ("old", old, Examples | None), ("settings", settings, Settings)):
        if not isinstance(value, kinds):
            kind = "Settings(steps=100), say" if name == "settings" else "Examples(latents, text)"
            raise ValueError(f"{name} is a {type(value).__name__}: give {kind}.")


def _train(pipe, parameters, new, old, settings) -> Iterator[float]:
    optimizer = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=0.0)
    for k in range(settings.steps):
        with torch.enable_grad():
            loss = denoising_loss(pipe, *batch(new, old, settings, k))
        gradients = torch.autograd.grad(loss, parameters)
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.param_groups[0]["lr"] = settings.lr * min(1, (k + 1) / settings.warm_up)
        optimizer.step()
        yield loss.item()
    optimizer.zero_grad()


def batch(new: Examples, old: Examples | None, settings: Settings, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The batch of step k: clean latents [b c f h w], noise of that shape, timesteps [b] and text [b t d]."""
    rng = np.random.default_rng([settings.seed, k])
    b, frames = settings.batch, settings.frames
    from_old = round(b * settings.old) if old else 0
    parts = [_cuts(new, b - from_old, frames, rng)] + ([_cuts(old, from_old, frames, rng)] if from_old else [])
    x_0, text = (torch.cat(part) for part in zip(*parts, strict=True))
    eps = torch.randn(x_0.shape, generator=seeding.generator(int(rng.integers(2**31))))
    spread = rng.permutation((np.arange(b) + rng.random(b)) / b)  # one timestep from each slice
    return x_0, eps, torch.from_numpy((spread * 1000).astype(np.int64)), text


def _cuts(examples: Examples, count: int, frames: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    chosen = rng.integers(len(examples.text), size=count)
    firsts = rng.integers(examples.latents.shape[2] - frames + 1, size=count)
    cuts = [examples.latents[i, :, f : f + frames] for i, f in zip(chosen, firsts, strict=True)]
    return torch.stack(cuts), examples.text[chosen]


def denoising_loss(pipe, x_0: Tensor, eps: Tensor, t: Tensor, text: Tensor) -> Tensor:
    """Squared error of the noise, weighted min(SNR, 5) / SNR (Hang et al. 2023, arXiv 2303.09556, equation 5)."""
    device, dtype = pipe._execution_device, pipe.unet.dtype
    abar = pipe.scheduler.alphas_cumprod[t]  # [b]
    x_t = add_noise(x_0, eps, abar).to(device, dtype)
    predicted = pipe.unet(x_t, t.to(device), text.to(device, dtype)).sample.float()  # [b c f h w]
    error = (predicted - eps.to(device)).square().mean(dim=(1, 2, 3, 4))  # [b]
    weight = (snr(abar).clamp(max=MIN_SNR) / snr(abar)).to(device)
    return (error * weight).mean()
