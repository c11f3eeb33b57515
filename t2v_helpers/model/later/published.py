"""Later models as their repositories publish them: facts and configurations, built without weights.

    model = published.MODELS["wan2.1"]
    model.latent_shape(), model.tokens()       ((16, 21, 60, 104), 32760) for its own clip
    model.parts()                              its text encoder, denoiser and VAE, on the meta device

published.json says beside each model where its numbers come from. A clip of f frames has 1 + (f - 1) / t frames of
latents, t being the VAE's stride in time: a causal VAE keeps the first frame by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLLTXVideo,
    AutoencoderKLWan,
    CogVideoXTransformer3DModel,
    HunyuanVideo15Transformer3DModel,
    LTXVideoTransformer3DModel,
    WanTransformer3DModel,
)
from torch import nn
from transformers import Qwen2_5_VLTextModel, T5EncoderModel, UMT5EncoderModel

from t2v_helpers.core import checking, files
from t2v_helpers.model import loading

TABLE = Path(__file__).with_name("published.json")
CLASSES = {
    cls.__name__: cls
    for cls in (
        AutoencoderKLCogVideoX, AutoencoderKLHunyuanVideo15, AutoencoderKLLTXVideo, AutoencoderKLWan,
        CogVideoXTransformer3DModel, HunyuanVideo15Transformer3DModel, LTXVideoTransformer3DModel,
        WanTransformer3DModel, Qwen2_5_VLTextModel, T5EncoderModel, UMT5EncoderModel,
    )
}  # fmt: skip
OBJECTIVES = {"noise": "the noise", "v": "v, zero terminal SNR", "flow": "flow matching"}
MOST_FRAMES, MOST_PIXELS = 1025, 2048


@dataclass(frozen=True)
class Clip:
    """A video: frames, pixels, frames a second. The first frame stands for itself, so n frames last n / fps seconds."""

    frames: int
    height: int
    width: int
    fps: int

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return self.frames / self.fps

    def __str__(self) -> str:
        return f"{self.frames} x {self.height} x {self.width}"


@dataclass(frozen=True)
class Published:
    """A model's facts. clip: what it makes unless asked otherwise. stride: pixels and frames that a latent stands for,
    (t, h, w); patch: latents that a token stands for, (t, h, w); channels: numbers of a latent. text_tokens: the length
    of each text that its denoiser reads. one_time_per_token: its denoiser is told a time for each token.
    """

    name: str
    title: str
    year: int
    licence: str
    objective: str
    backbone: str
    clip: Clip
    stride: tuple[int, int, int]
    channels: int
    patch: tuple[int, int, int]
    text_tokens: tuple[int, ...]
    configs: Mapping[str, Mapping]
    sources: tuple[str, ...]
    one_time_per_token: bool = False

    def latent_shape(self, clip: Clip | None = None) -> tuple[int, int, int, int]:
        """(c, f, h, w) of a clip's latents; None: its own. ValueError: a size that VAE or patches cannot cut."""
        clip = clip or self.clip
        time, *space = (stride * patch for stride, patch in zip(self.stride, self.patch, strict=True))
        if (checking.whole("frames", clip.frames, 1, MOST_FRAMES) - 1) % time:
            below = (clip.frames - 1) // time * time + 1
            raise ValueError(
                f"frames={clip.frames} is not 1 more than a multiple of {time}: use {below} or {below + time}."
            )
        for name, step in zip(("height", "width"), space, strict=True):
            checking.whole(name, getattr(clip, name), step, MOST_PIXELS)
            if getattr(clip, name) % step:
                raise ValueError(
                    f"{name}={getattr(clip, name)} is not a multiple of {step} pixels, as {self.title} needs."
                )
        t, h, w = self.stride
        return self.channels, 1 + (clip.frames - 1) // t, clip.height // h, clip.width // w

    def tokens(self, clip: Clip | None = None) -> int:
        """How many tokens of video the denoiser reads at once; for a UNet, its places at full resolution."""
        _, *places = self.latent_shape(clip)
        f, h, w = (place // patch for place, patch in zip(places, self.patch, strict=True))
        return f * h * w

    def parts(self) -> dict[str, nn.Module]:
        """Its networks on the meta device: shapes without numbers. A UNet is called "denoiser", too."""
        if not self.configs:
            found = loading.skeleton(self.name)
            return {"text_encoder": found["text_encoder"], "denoiser": found["unet"], "vae": found["vae"]}
        return {name: _build(**described) for name, described in self.configs.items()}


def _build(kind: str, config: Mapping) -> nn.Module:
    cls = CLASSES[kind]
    configured = getattr(cls, "config_class", None)
    with torch.device("meta"):
        return (cls(configured(**config)) if configured else cls(**config)).eval()


def _read() -> dict[str, Published]:
    found = {}
    for name, facts in files.read_json(TABLE).items():
        lists = {key: tuple(value) for key, value in facts.items() if isinstance(value, list)}
        found[name] = Published(name, **facts | lists | {"clip": Clip(**facts["clip"])})
    return found


MODELS = _read()
