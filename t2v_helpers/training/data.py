"""Training data from the cartoon world: frames for the autoencoder, and clips encoded once for the denoiser.

Frames are [b c h w] in [-1, 1]; latents are [n c f h w], divided by their standard deviation.
"""

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTokenizer

from t2v_helpers import cartoon
from t2v_helpers.cartoon.judge import disturb
from t2v_helpers.core import files, layout, tensors
from t2v_helpers.core.seeding import MAX_SEED, generator

LATENT_CHANNELS = 16  # the one number to change for an autoencoder with more
LATENT_SIZE = cartoon.SIZE // 8
FRAMES = 16  # of an encoded clip
FRESH_SEED = 1_000_003  # renders of this seed are never trained on


def frames(seed: int, first: int, count: int) -> tuple[Tensor, Tensor]:
    """`count` frames of training clips [b 3 64 64] in [-1, 1] and their subjects' masks [b 1 64 64] in [0, 1]."""
    items = [cartoon.item(seed, first + i, frames=1) for i in range(count)]
    x = layout.to_float(torch.from_numpy(np.stack([item.frames for item in items])))
    return x[:, :, 0], torch.from_numpy(np.stack([item.mask for item in items])) / 255


def pool(seed: int, count: int, frames: int) -> Callable[[int], cartoon.Item]:
    """A function that renders clip i of all label combinations; it caches `count` clips, since each is seen often."""
    return lru_cache(count)(lambda i: cartoon.item(seed, i, frames, split="all"))


def disturbed(frames: np.ndarray, most: Any, rng: np.random.Generator, shift: int = 0) -> Tensor:
    """Frames uint8 [f h w 3] as [3 f h w] in [-1, 1], shifted, and each with chance 1/2 blurred, noisy and brighter.

    `most`: settings with the largest blur, noise and brightness; `shift`: the largest shift in pixels, each way.
    """
    x = layout.to_float(torch.from_numpy(frames[None].copy()))[0]
    on = rng.random(3) < 0.5
    right, down = map(int, rng.integers(-shift, shift + 1, size=2)) if shift else (0, 0)
    return disturb(
        x,
        generator(int(rng.integers(MAX_SEED))),
        blur=float(rng.uniform(0.3, most.blur) * on[0]),
        noise=float(rng.uniform(0, most.noise) * on[1]),
        shift=(right, down),
        brightness=float(rng.uniform(-most.brightness, most.brightness) * on[2]),
    )


def tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Captions as token ids [b t], padded as the pipeline pads them."""
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


def cuts(
    latents: Tensor, count: int, frames: int, rng: np.random.Generator, among: np.ndarray | None = None
) -> tuple[Tensor, np.ndarray]:
    """`count` cuts of consecutive frames, float32 [count c frames h w], and the index [count] of each cut's clip.

    among: indices to draw from; one that is there twice is drawn twice as often (None: every clip once).
    """
    among = np.arange(len(latents)) if among is None else among
    chosen = among[rng.integers(len(among), size=count)]
    firsts = rng.integers(latents.shape[2] - frames + 1, size=count)
    return torch.stack([latents[i, :, f : f + frames] for i, f in zip(chosen, firsts, strict=True)]).float(), chosen


def noise_and_timesteps(x_0: Tensor, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
    """Noise in the shape of x_0, and rising timesteps [b], one drawn from each of b equal slices of the schedule."""
    eps = torch.randn(x_0.shape, generator=generator(int(rng.integers(2**31))))
    spread = (np.arange(len(x_0)) + rng.random(len(x_0))) / len(x_0)
    return eps, (spread * 1000).astype(np.int64)


def encode(vae: AutoencoderKL, seed: int, count: int, path: Path) -> Iterator[int]:
    """Encode `count` training clips and write latents [n c f h w] and labels to `path`. Yields the clips done.

    Latents are the means of the posterior in fp16; the header holds their standard deviation.
    """
    done, labels = [], []
    with ThreadPoolExecutor(2) as workers:
        for clip, latents in workers.map(lambda index: _encoded(vae, seed, index), range(count)):
            labels.append(json.dumps(asdict(clip)))
            done.append(latents)
            yield len(done)
    latents = torch.cat(done).contiguous()
    about = {"labels": f"[{','.join(labels)}]", "std": str(latents.float().std().item())}
    files.write_whole(path, lambda p: save_file({"latents": latents}, str(p), metadata=about))


def _encoded(vae: AutoencoderKL, seed: int, index: int) -> tuple[cartoon.Labels, Tensor]:
    """The labels of a training clip, and its latents [1 c f h w] in fp16."""
    clip = cartoon.item(seed, index, FRAMES)
    x = layout.to_float(torch.from_numpy(clip.frames[None]))
    with torch.inference_mode():  # here, since it is set per thread
        mean = vae.encode(layout.fold_frames(x).to(vae.device)).latent_dist.mean
    return clip.labels, layout.unfold_frames(mean, 1).half().cpu()


@dataclass(frozen=True)
class Clips:
    """Encoded clips: latents fp16 [n c f h w] scaled to unit variance, their labels, and the scaling factor used."""

    latents: Tensor
    labels: list[cartoon.Labels]
    scaling_factor: float

    @classmethod
    def load(cls, path: Path) -> "Clips":
        """Read the file that `encode` wrote. Errors: FileNotFoundError; ValueError where it is damaged."""
        again = "run `t2v train latents`, with the same --runs and --quick"
        if not path.exists():
            raise FileNotFoundError(f"stage latents is not finished ({files.named(path)} does not exist): {again}.")
        try:
            latents, labels, factor = _read(path)
        except (ValueError, TypeError, ArithmeticError) as error:
            why = files.reason(error)
            raise ValueError(f"{files.named(path)} is damaged ({why}): delete it and {again}.") from error
        return cls(latents.mul_(factor), labels, factor)


def _read(path: Path) -> tuple[Tensor, list[cartoon.Labels], float]:
    """Latents as written, their labels and the scaling factor. The recorded standard deviation reveals damage."""
    with tensors.opened(path, ours=True) as file:
        about, latents = file.metadata() or {}, file.get_tensor("latents")
    if not about.keys() >= {"labels", "std"}:
        raise ValueError("its header lacks labels or std")
    labels = [cartoon.Labels(**entry) for entry in files.parse_json(about["labels"], list)]
    std = float(about["std"])
    if latents.shape != (len(labels), LATENT_CHANNELS, FRAMES, LATENT_SIZE, LATENT_SIZE):
        raise ValueError(f"its latents have shape {list(latents.shape)}, but it has {len(labels)} labels")
    measured = latents.float().std().item()
    if not math.isclose(std, measured, rel_tol=1e-3):
        raise ValueError(f"its header says std={std}, but that of the latents is {measured:g}")
    return latents, labels, 1 / std
