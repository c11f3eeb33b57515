"""What the training sees of the cartoon world: frames for the autoencoder, and clips encoded once for the UNet."""

import json
import math
from collections.abc import Iterator
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
    done, labels = [], []
    for index in range(count):
        clip = cartoon.item(seed, index)
        labels.append(json.dumps(asdict(clip.labels)))
        x = layout.to_float(torch.from_numpy(clip.frames[None]))
        with torch.inference_mode():
            mean = vae.encode(layout.fold_frames(x)).latent_dist.mean
        done.append(layout.unfold_frames(mean, 1).half())
        yield index + 1
    latents = torch.cat(done).contiguous()
    about = {"labels": f"[{','.join(labels)}]", "std": str(latents.float().std().item())}
    files.write_whole(path, lambda p: save_file({"latents": latents}, str(p), metadata=about))


@dataclass(frozen=True)
class Clips:
    """Encoded clips: latents [n 16 16 8 8] of size one, in half precision for there are many; their labels; and the
    scaling factor that made them so.
    """

    latents: Tensor
    labels: list[cartoon.Labels]
    scaling_factor: float

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
