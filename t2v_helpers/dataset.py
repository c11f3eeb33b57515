"""What the training sees of the cartoon world: frames for the autoencoder, and clips encoded once for the UNet."""

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from t2v_helpers import cartoon, files, layout

LATENT_CHANNELS = 16


def frames(seed: int, first: int, count: int) -> tuple[Tensor, Tensor]:
    """`count` frames of training clips [b 3 64 64] in [-1, 1] and their subjects' masks [b 1 64 64] in [0, 1]."""
    items = [cartoon.item(seed, first + i, frames=1) for i in range(count)]
    x = layout.to_float(torch.from_numpy(np.stack([item.frames for item in items])))
    return x[:, :, 0], torch.from_numpy(np.stack([item.mask for item in items])) / 255


def encode(vae: AutoencoderKL, seed: int, count: int, path: Path) -> Iterator[int]:
    """Encode `count` training clips and write latents [n 16 16 8 8] and labels to `path`. Yields the clips done.

    The latents are the means, divided by their common standard deviation: the UNet wants numbers of size one.
    """
    labels, done = [], []
    with ThreadPoolExecutor(2) as workers:  # each draws and encodes clips of its own
        for words, clip in workers.map(lambda index: _encoded(vae, seed, index), range(count)):
            labels.append(words)
            done.append(clip)
            yield len(done)
    latents = torch.cat(done).contiguous()
    about = {"labels": f"[{','.join(labels)}]", "std": str(latents.float().std().item())}
    files.write_whole(path, lambda p: save_file({"latents": latents}, str(p), metadata=about))


def _encoded(vae: AutoencoderKL, seed: int, index: int) -> tuple[str, Tensor]:
    """The labels of a training clip as JSON, and its latents [1 16 16 8 8]."""
    clip = cartoon.item(seed, index)
    x = layout.to_float(torch.from_numpy(clip.frames[None]))
    with torch.inference_mode():  # here, for each thread has a setting of its own
        mean = vae.encode(layout.fold_frames(x)).latent_dist.mean
    return json.dumps(asdict(clip.labels)), layout.unfold_frames(mean, 1).half()


@dataclass(frozen=True)
class Clips:
    """Encoded clips: latents [n 16 16 8 8] of size one, in half precision for there are many; their labels; and the
    scaling factor that made them so.
    """

    latents: Tensor
    labels: list[cartoon.Labels]
    scaling_factor: float

    def cuts(self, count: int, frames: int, rng: np.random.Generator) -> tuple[Tensor, list[cartoon.Labels]]:
        """`count` clips drawn from `rng`, `frames` in a row of each: float32 [b 16 f 8 8], and their labels."""
        chosen = rng.integers(len(self.labels), size=count)
        firsts = rng.integers(0, self.latents.shape[2] - frames + 1, size=count)
        x_0 = torch.stack([self.latents[i, :, k : k + frames] for i, k in zip(chosen, firsts, strict=True)])
        return x_0.float(), [self.labels[i] for i in chosen]

    @classmethod
    def load(cls, path: Path) -> "Clips":
        """Read the file that `encode` wrote. Errors: FileNotFoundError; ValueError where it is damaged."""
        again = "run `t2v train latents`, with the same --runs and --quick"
        if not path.exists():
            raise FileNotFoundError(f"stage latents is not finished ({path} does not exist): {again}.")
        try:
            latents, labels, factor = _read(path)
        except (SafetensorError, ValueError, TypeError, ArithmeticError) as error:
            why = str(error).rstrip(".")
            raise ValueError(f"{path} holds no whole latents ({why}): delete it and {again}.") from error
        return cls(latents.mul_(factor), labels, factor)


def worded(labels: cartoon.Labels, rng: np.random.Generator, empty: float) -> str:
    """A caption of these labels in some wording, or, in this share of the cases, an empty one."""
    wording = (int(k) for k in rng.integers(0, 60, size=3))
    return "" if rng.random() < empty else cartoon.caption(labels, *wording)


def tokens(tokenizer, captions: list[str]) -> Tensor:
    """Captions as tokens [b 24], the way the pipeline makes them."""
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


def _read(path: Path) -> tuple[Tensor, list[cartoon.Labels], float]:
    """Latents as they were written, their labels and the scaling factor. The standard deviation tells of damage."""
    with safe_open(str(path), "pt") as file:
        about, latents = file.metadata() or {}, file.get_tensor("latents")
    if not about.keys() >= {"labels", "std"}:
        raise ValueError("its header does not say labels and std")
    labels, std = [cartoon.Labels(**entry) for entry in json.loads(about["labels"])], float(about["std"])
    if latents.shape != (len(labels), LATENT_CHANNELS, 16, 8, 8):
        raise ValueError(f"its latents have shape {list(latents.shape)}, but it has {len(labels)} labels")
    measured = latents.float().std().item()
    if not math.isclose(std, measured, rel_tol=1e-3):
        raise ValueError(f"its header says a standard deviation of {std}, but that of the latents is {measured:g}")
    return latents, labels, 1 / std
