"""Train a few added parameters of an otherwise frozen UNet, such as a LoRA, on a handful of clips with captions.

    new = Examples(encode(pipe, videos), read(pipe, captions))
    for loss in train(pipe, lora.add(pipe, rank=4), new): ...

Each step is a batch of single frames, or of short cuts of the clips; all random numbers of step k follow from (seed, k)
alone. The base model may run in half precision; what is trained stays in float32. Latents are [n c f h w] of unit
variance, text is embeddings [n t d], or tokens [n t] where embeddings of a word's pieces are trained as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from t2v_helpers.core import checking, files, layout, seeding, video
from t2v_helpers.diffusion.noise import add_noise
from t2v_helpers.model import loading
from t2v_helpers.model.pipeline import course_pipeline
from t2v_helpers.training import data
from t2v_helpers.training.denoiser import min_snr_weight, noise_error


@dataclass(frozen=True)
class Examples:
    """Training examples: latents [n c f h w], and text as embeddings [n t d] or tokens [n t], whole numbers.

    ValueError: other shapes, unlike n, n = 0.
    """

    latents: Tensor
    text: Tensor

    def __post_init__(self):
        for name in ("latents", "text"):
            axes = "n c f h w" if name == "latents" else "n t" if _are_tokens(self.text) else "n t d"
            x = checking.kind(name, getattr(self, name), Tensor, f"a tensor [{axes}]")
            if x.ndim != len(axes.split()):
                raise ValueError(f"{name} has shape {list(x.shape)}: use a tensor [{axes}].")
        if len(self.latents) != len(self.text) or not len(self.text):
            given = f"{len(self.latents)} latents and {len(self.text)} texts"
            raise ValueError(f"there are {given}: use as many of each, at least 1.")


@dataclass(frozen=True)
class Settings:
    """How to train. `frames`: length of a cut; with 1, single frames are learned. `old`: share of old examples in a
    batch (the prior preservation of DreamBooth, Ruiz et al. 2022, arXiv 2208.12242, section 3.3). ValueError: others.
    """

    steps: int = 100
    batch: int = 16
    frames: int = 1
    lr: float = 2e-2
    warm_up: int = 10
    old: float = 0.5
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch", "frames", "warm_up"):
            checking.whole(name, getattr(self, name))
        checking.number("lr", self.lr, least=1e-9)
        checking.number("old", self.old, least=0, most=0.99)
        seeding.check_seed(self.seed)


def read_folder(folder: str | Path) -> tuple[list[np.ndarray], list[str]]:
    """The clips of a folder, uint8 [f h w 3], and their captions: a video name.mp4 has its caption in name.txt.

    Errors: FileNotFoundError (no such folder), ValueError (no videos; one without a caption; see video.read_mp4).
    """
    folder = checking.path("folder", folder)
    if not files.is_folder(folder):
        raise FileNotFoundError(f"{files.named(folder)} is not a folder: use one with videos and their captions.")
    paths = sorted(folder.glob("*.mp4"))
    if not paths:
        raise ValueError(f"{folder} has no videos: put in name.mp4, and its caption in name.txt.")
    captions = [path.with_suffix(".txt") for path in paths]
    if missing := [path.name for path in captions if not path.is_file()]:
        raise ValueError(f"{folder} lacks {missing[0]}: write the caption of that video into it.")
    return [video.read_mp4(path) for path in paths], [files.read_text(path).strip() for path in captions]


@torch.no_grad()
def encode(pipe, videos: Sequence[np.ndarray]) -> Tensor:
    """Clips, each uint8 [f h w 3], as scaled latents for the UNet: float32 [n c f h w] on the CPU.

    ValueError: no pipeline, no clips, clips of unlike shape, or of a size that the model cannot encode.
    """
    _check_clips(pipe, videos)
    device, dtype = pipe.execution_device, pipe.vae.dtype
    latents = []
    for clip in videos:
        x = layout.to_float(torch.from_numpy(np.ascontiguousarray(clip[None])))  # [1 c f h w]
        seen = pipe.vae.encode(layout.fold_frames(x).to(device, dtype))
        mean = seen.latents if "latents" in seen else seen.latent_dist.mean  # [f c h w]; a tiny one draws nothing
        latents.append(layout.unfold_frames(mean * pipe.vae.config.scaling_factor, 1).float().cpu())
    return torch.cat(latents)  # [n c f h w]


def _check_clips(pipe, videos: Sequence[np.ndarray]) -> None:
    pipe = course_pipeline(pipe)
    checking.kind("videos", videos, (Sequence, np.ndarray), "a list of clips, uint8 [f h w 3]")
    if len(videos) == 0:
        raise ValueError("videos is empty: give at least one clip, uint8 [f h w 3].")
    for n, clip in enumerate(videos):
        if checking.frames(clip, f"clip {n}").shape != videos[0].shape:
            shapes = f"{list(clip.shape)}, and clip 0 {list(videos[0].shape)}"
            raise ValueError(f"clip {n} has shape {shapes}: cut and resize them to one size.")
    multiple, sides = loading.size_multiple(pipe), videos[0].shape[1:3]
    if any(side == 0 or side % multiple for side in sides):
        raise ValueError(f"the clips are of {sides[0]}x{sides[1]} pixels: use multiples of {multiple}.")


def _are_tokens(text: object) -> bool:
    return isinstance(text, Tensor) and not text.is_floating_point()


@torch.no_grad()
def read(pipe, captions: Sequence[str]) -> Tensor:
    """Embed captions with the text encoder: float32 [n t d] on the CPU. ValueError: no pipeline, no captions."""
    return _embedded(pipe, tokens(pipe, captions)).float().cpu()


def _embedded(pipe, text: Tensor) -> Tensor:
    """The embeddings [n t d] of tokens [n t]; what is embedded already stays as it is."""
    return pipe.text_encoder(text.to(pipe.execution_device))[0] if _are_tokens(text) else text


def tokens(pipe, captions: Sequence[str]) -> Tensor:
    """Captions as tokens [n t], the way the pipeline makes them. ValueError: no pipeline, no captions."""
    pipe = course_pipeline(pipe)
    listed = isinstance(captions, Sequence) and not isinstance(captions, str) and len(captions) > 0
    if not listed or not all(isinstance(caption, str) for caption in captions):
        given = f"captions={checking.shown(captions)} is not allowed"
        raise ValueError(f"{given}: use a list with the caption of each clip.")
    return data.tokens(pipe.tokenizer, list(captions))


def train(
    pipe,
    parameters: list[nn.Parameter],
    new: Examples,
    old: Examples | None = None,
    settings: Settings | None = None,
) -> Iterator[float]:
    """Train with AdamW, the norm of the gradient clipped to 1, and yield the loss after each step.

    Without old examples every batch is new. ValueError: an argument of another kind, no parameters, clips shorter than
    settings.frames, or old clips of another size.
    """
    settings = Settings() if settings is None else settings
    pipe = course_pipeline(pipe)
    if not checking.kind("parameters", parameters, list, "the list that lora.add(pipe) returns"):
        raise ValueError("parameters is empty: use the list that lora.add(pipe) returns.")
    checking.kind("settings", settings, Settings, "finetune.Settings(steps=100), say")
    for name, examples in {"new": new, "old": new if old is None else old}.items():
        shape = checking.kind(name, examples, Examples, "finetune.Examples(latents, text)").latents.shape
        checking.whole("frames", settings.frames, most=shape[2])
        if shape[-2:] != new.latents.shape[-2:]:
            sizes = f"{list(shape)} and {list(new.latents.shape)}"
            raise ValueError(f"the latents have shapes {sizes}: use old and new clips of one size.")
    return _train(pipe, parameters, new, old, settings)


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
    """The batch of step k: clean latents and noise [b c f h w], timesteps [b], and text [b t d], or [b t] as tokens."""
    rng = np.random.default_rng([settings.seed, k])
    b, frames = settings.batch, settings.frames
    from_old = round(b * settings.old) if old else 0
    parts = [_cuts(new, b - from_old, frames, rng)] + ([_cuts(old, from_old, frames, rng)] if from_old else [])
    x_0, text = (torch.cat(part) for part in zip(*parts, strict=True))
    eps, t = data.noise_and_timesteps(x_0, rng)
    return x_0, eps, torch.from_numpy(rng.permutation(t)), text  # mixed, because the old examples come last


def _cuts(examples: Examples, count: int, frames: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    x_0, chosen = data.cuts(examples.latents, count, frames, rng)
    return x_0, examples.text[chosen]


def denoising_loss(pipe, x_0: Tensor, eps: Tensor, t: Tensor, text: Tensor) -> Tensor:
    """Squared error of the noise, weighted by min(SNR, 5) / SNR (Hang et al. 2023, arXiv 2303.09556, equation 5)."""
    device, dtype = pipe.execution_device, pipe.unet.dtype
    abar = pipe.scheduler.alphas_cumprod[t]  # [b]
    x_t = add_noise(x_0, eps, abar).to(device, dtype)
    text = _embedded(pipe, text).to(device, dtype)  # [b t d]
    predicted = pipe.unet(x_t, t.to(device), text).sample.float()  # [b c f h w]
    return (noise_error(predicted, eps.to(device)) * min_snr_weight(abar).to(device)).mean()
