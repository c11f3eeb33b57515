"""CLIP similarity: how near a video is to words, and its frames to one another. A learned measure, without labels.

CLIP gives a picture and a text each a vector; the cosine of two vectors is their similarity, -1 to 1 (Radford et al.
2021, arXiv 2103.00020). CLIPSIM is its mean over the frames of a video (Wu et al. 2021, "GODIVA", arXiv 2104.14806).
Values of two CLIPs cannot be compared: each has its own usual height.

Blind to motion: frames are read one by one, so a shuffled or a reversed video scores the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPModel, CLIPProcessor

from t2v_helpers.core import paths
from t2v_helpers.core.video import check_frames

CARTOON = paths.WEIGHTS / "clip"


@dataclass(frozen=True)
class Clip:
    """A CLIPModel, and the processor that prepares frames and words for it."""

    model: CLIPModel
    processor: CLIPProcessor

    def of_frames(self, frames: np.ndarray) -> Tensor:
        """Vectors [f d] of length one for frames uint8 [f h w 3]. ValueError: other arrays.

        Most real CLIPs' processors cut out the middle square: of a wide video the sides are not seen.
        """
        pixels = self.processor.image_processor(list(check_frames(frames)), return_tensors="pt")
        with torch.inference_mode():
            return _unit(self.model.get_image_features(**pixels).pooler_output)

    def of_words(self, texts: Sequence[str]) -> Tensor:
        """Vectors [n d] of length one for n texts; what is longer than the model's reach is cut. ValueError: texts."""
        if not isinstance(texts, list | tuple) or not texts or not all(isinstance(x, str) and x.strip() for x in texts):
            raise ValueError(f"texts={texts!r} is not allowed: give a list of texts, at least one, none of them empty.")
        tokens = self.processor.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return _unit(self.model.get_text_features(**tokens).pooler_output)


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def load_clip(folder: str | Path = CARTOON) -> Clip:
    """The CLIP of a folder: the cartoon world's own, or any real one (openai/clip-vit-base-patch32, downloaded).

    It is read once. Errors: FileNotFoundError (no such folder), ValueError (no path, or it holds no whole CLIP).
    """
    if not isinstance(folder, str | Path):
        raise ValueError(f"folder={folder!r} is a {type(folder).__name__}: give the path of a CLIP's folder.")
    if not folder or not Path(folder).is_dir():
        raise FileNotFoundError(
            f"{str(folder)!r} is no folder: give the one that a CLIP was saved in, or downloaded to."
        )
    return _read_clip(Path(folder))


@cache
def _read_clip(folder: Path) -> Clip:
    try:
        model = CLIPModel.from_pretrained(folder, local_files_only=True).float().eval()
        return Clip(model, CLIPProcessor.from_pretrained(folder, local_files_only=True))
    except (OSError, ValueError, SafetensorError) as error:
        why = str(error).split("\n")[0].rstrip(".")
        raise ValueError(f"{folder} holds no whole CLIP ({why}): download or save it again.") from error


def clip_similarity(frames: np.ndarray, text: str, clip: Clip | None = None) -> float:
    """CLIPSIM: the mean cosine of the frames uint8 [f h w 3] and the text, -1 to 1; higher is nearer.

    Blind to the order of the frames, and to what its CLIP has not learned. Wu et al. 2021, arXiv 2104.14806.
    clip None: the cartoon world's. ValueError: frames, an empty text, no Clip.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"text is empty or no text, {text!r}: say in words what the video should show.")
    clip = _known(clip)
    return (clip.of_frames(frames) @ clip.of_words([text])[0]).mean().item()  # [f d] with [d]


def frame_similarity(frames: np.ndarray, clip: Clip | None = None) -> float:
    """The mean cosine of each frame uint8 [f h w 3] and the next one, -1 to 1; a still video has 1.

    "Temporal consistency" in Esser et al. 2023 ("Gen-1", arXiv 2302.03011). Blind to small flicker; content with a
    frozen video, and with motion that goes backwards. ValueError: frames, fewer than two of them, no Clip.
    """
    if len(frames := check_frames(frames)) < 2:
        raise ValueError(f"the clip has {len(frames)} frame, but 2 are needed: frames are compared with the next.")
    vectors = _known(clip).of_frames(frames)  # [f d]
    return (vectors[1:] * vectors[:-1]).sum(dim=-1).mean().item()


def _known(clip: Clip | None) -> Clip:
    """The clip, or the cartoon world's for None. ValueError: something else, such as the name of a folder."""
    if not isinstance(clip, Clip | None):
        raise ValueError(f"clip is a {type(clip).__name__}, but a Clip is needed: load_clip(folder) reads it.")
    return clip or load_clip()
