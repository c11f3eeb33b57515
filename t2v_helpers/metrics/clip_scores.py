"""CLIP similarity of a video and a text, and of consecutive frames: a learned measure that needs no labels.

CLIP maps images and texts to vectors; the cosine of two vectors is their similarity, -1 to 1 (Radford et al.
2021, arXiv 2103.00020). CLIPSIM is its mean over the frames of a video (Wu et al. 2021, "GODIVA", arXiv 2104.14806).
Values of two different CLIP models cannot be compared: each has its own typical range.

Blind to motion: frames are read one by one, so a shuffled or reversed video scores the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPProcessor

from t2v_helpers.core import checking, files, paths
from t2v_helpers.inside import unet_config
from t2v_helpers.inside.unet_config import Rule, list_of, number, one_of, positive, whole
from t2v_helpers.metrics import reading
from t2v_helpers.model import folders
from t2v_helpers.model.folders.rules import LIBRARY_ERRORS

CARTOON = paths.WEIGHTS / "clip"


@dataclass(frozen=True)
class Clip:
    """A CLIPModel, and the processor that prepares frames and text for it."""

    model: CLIPModel
    processor: CLIPProcessor

    def of_frames(self, frames: np.ndarray) -> Tensor:
        """Unit vectors [f d] of frames uint8 [f h w 3]. ValueError: other arrays.

        Most real CLIP processors crop to the central square: the sides of a wide video are not seen.
        """
        frames = checking.frames(frames)
        with reading.exactly():
            pixels = self.processor.image_processor(list(frames), return_tensors="pt")
            return F.normalize(self.model.get_image_features(**pixels).pooler_output)

    def of_words(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [n d] of n texts, truncated to what the model can read. ValueError: texts."""
        if not isinstance(texts, list | tuple) or not texts or not all(isinstance(x, str) and x.strip() for x in texts):
            raise ValueError(
                f"texts={checking.shown(texts)} is not allowed: use a list of one or more texts, none of them empty."
            )
        with reading.exactly():
            tokens = self.processor.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
            return F.normalize(self.model.get_text_features(**tokens).pooler_output)


def load_clip(folder: str | Path = CARTOON) -> Clip:
    """The CLIP of a folder: the cartoon world's own, or a real one such as a downloaded openai/clip-vit-base-patch32.

    It is read once. Errors: FileNotFoundError (no such folder), ValueError (not a path, or not a complete CLIP).
    """
    folder = checking.path("folder", folder)
    if not files.is_folder(folder):
        raise FileNotFoundError(
            f"{checking.shown(str(folder))} is not a folder: use one that a CLIP was saved or downloaded to."
        )
    return _read_clip(folder)


@cache
def _read_clip(folder: Path) -> Clip:
    try:
        model = folders.read_alone(folder, folders.KINDS["CLIPModel"], torch.float32)
        text = model.config.text_config
        tokenizer = folders.tokenizer(folder, text.max_position_embeddings)
        if len(tokenizer) > text.vocab_size:
            raise ValueError(f"its tokenizer has {len(tokenizer)} tokens, and its network {text.vocab_size}")
        clip = Clip(model, CLIPProcessor(_pixels(folder), tokenizer))
        _try(clip)
    except LIBRARY_ERRORS as error:
        why, where = files.reason(error), files.named(folder)
        raise ValueError(f"{where} does not hold a complete CLIP ({why}): download or save it again.") from error
    return clip


def _try(clip: Clip) -> None:
    """Read a white frame of each of two shapes, and a word. ValueError: pictures that are not made to fit, NaN."""
    shapes = (64, 64), (48, 96)
    vectors = [clip.of_frames(np.full((1, *shape, 3), 255, np.uint8)) for shape in shapes] + [clip.of_words(["a"])]
    if not torch.cat(vectors).isfinite().all():
        raise ValueError("what it reads leads to no finite numbers")


def _size(*keys: str) -> Rule:
    """Pixels, or a table of pixels whose keys are "height" and "width", or else `keys`."""
    fits, allowed = whole(1024)

    def is_size(x: object) -> bool:
        sides = x.values() if isinstance(x, dict) and set(x) in ({"height", "width"}, {*keys}) else [x]
        return bool(sides) and all(map(fits, sides))

    return is_size, f"{allowed}, or {' or '.join(['height and width', *keys])} with such numbers"


_PIXELS = {  # key of an image processor's config -> its rule
    "size": _size("shortest_edge"), "crop_size": _size(),
    **{f"do_{what}": one_of(True, False) for what in ("resize", "center_crop", "rescale", "normalize", "convert_rgb")},
    "image_mean": list_of(number(0, 1), 3, 3), "image_std": list_of(positive(), 3, 3),
    "resample": whole(5, 0), "rescale_factor": positive(),
}  # fmt: skip


def _pixels(folder: Path):
    """The processor of pictures: its config is in a file of its own, or since 2025 in one with the tokenizer's."""
    names = [name for name in ("processor_config.json", "preprocessor_config.json") if (folder / name).exists()]
    if not names:
        raise ValueError("it has no preprocessor_config.json")
    found = folders.read(folder / names[0])
    found = checking.kind("image_processor", found.get("image_processor", found), dict, "keys with values")
    unet_config.check(found, _PIXELS, _PIXELS.keys())
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()  # it would tell that torchvision is not installed
    try:
        return transformers.CLIPImageProcessor(**{key: found[key] for key in found.keys() & _PIXELS.keys()})
    finally:
        transformers.utils.logging.set_verbosity(level)


def clip_similarity(frames: np.ndarray, text: str, clip: Clip | None = None) -> float:
    """CLIPSIM: the mean cosine of the frames uint8 [f h w 3] and the text, -1 to 1; higher is closer.

    Blind to the order of the frames, and to what its CLIP has not learned. Wu et al. 2021, arXiv 2104.14806.
    clip None: the cartoon world's. ValueError: frames, an empty text, not a Clip.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"text={checking.shown(text)} is not allowed: say in words what the video should show.")
    clip, frames = _known(clip), checking.frames(frames)
    with reading.exactly():
        return (clip.of_frames(frames) @ clip.of_words([text])[0]).mean().item()  # [f d] with [d]


def frame_similarity(frames: np.ndarray, clip: Clip | None = None) -> float:
    """The mean cosine of each frame uint8 [f h w 3] and the next one, -1 to 1; a still video has 1.

    "Temporal consistency" in Esser et al. 2023 ("Gen-1", arXiv 2302.03011). Blind to slight flicker; a frozen video
    and a reversed one score well. ValueError: frames, fewer than two of them, not a Clip.
    """
    clip, frames = _known(clip), checking.frames(frames, least=2)
    with reading.exactly():
        vectors = clip.of_frames(frames)  # [f d]
        return (vectors[1:] * vectors[:-1]).sum(dim=-1).mean().item()


def _known(clip: Clip | None) -> Clip:
    return load_clip() if clip is None else checking.kind("clip", clip, Clip, "a Clip: load_clip(folder) reads it")
