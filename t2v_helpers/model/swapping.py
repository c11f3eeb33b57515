"""Replaces parts of a pipeline for a while: the VAE, the UNet or the text encoder, with the adapter that makes one fit.

    with swapped_part(pipe, vae=tiny): ...

A part with the wrong shapes is refused before anything runs. Whether it *means* the same cannot be checked here: a VAE
of the right shape that was trained on other latents is accepted, and gives coloured fog.

Shapes: text tokens [b t] -> embeddings [b t d], latents [b c f h w].
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn

from t2v_helpers.core import checking, files
from t2v_helpers.diffusion import schedulers
from t2v_helpers.inside.unet import UNet3D
from t2v_helpers.model import folders
from t2v_helpers.model.folders import KINDS, PARTS
from t2v_helpers.model.pipeline import CoursePipeline, course_pipeline

_CLASSES = {"unet": (getattr(diffusers, "UNet3DConditionModel", UNet3D),), "vae": (AutoencoderKL, AutoencoderTiny)}


def swapped_scheduler(pipe: CoursePipeline, name: str) -> AbstractContextManager[CoursePipeline]:
    """The pipeline with another scheduler inside the `with`; the old one is restored afterwards, also after an error.

    Errors: those of schedulers.make; ValueError: not a pipeline.
    """
    pipe = course_pipeline(pipe)
    return pipe.using(scheduler=schedulers.make(name, pipe.scheduler.config))


def swapped_part(pipe: CoursePipeline, **parts: nn.Module) -> AbstractContextManager[CoursePipeline]:
    """The pipeline with other parts inside the `with`; the same old objects are restored, also after an error.

    parts: one or more of vae=, unet= and text_encoder=, which must fit each other and the parts that stay.
    ValueError: see `check_parts`.
    """
    check_parts(pipe, **parts)
    return course_pipeline(pipe).using(**parts)


def read_part(cls: type, folder: str | Path, like: nn.Module) -> nn.Module:
    """The part of class `cls` in a folder, frozen, with the device and dtype of `like`, which it is to replace.

    Errors: FileNotFoundError (no such folder), ValueError (the folder holds another class, or is damaged).
    """
    folder = checking.path("folder", folder)
    if not files.is_folder(folder):
        where = files.named(folder)
        raise FileNotFoundError(f"{where} is not a folder: use the one that a {cls.__name__} was saved in.")
    part = folders.read_alone(folder, KINDS[checking.one_of("cls", cls.__name__, KINDS)], like.dtype)
    return part.to(like.device).requires_grad_(False)


class Adapted(nn.Module):
    """A text encoder followed by an adapter, a module that maps its embeddings [b t e] to [b t d].

    It replaces a CLIPTextModel: tokens [b t] in, a tuple that starts with the embeddings out. layers: the indices of
    the hidden states that the adapter reads, concatenated, 0 for the token embeddings; empty: the encoder's output.
    """

    def __init__(self, text_encoder: nn.Module, adapter: nn.Module, layers: Sequence[int] = ()):
        super().__init__()
        self.text_encoder, self.adapter, self.layers = text_encoder, adapter, tuple(layers)
        self.config, self.dtype = text_encoder.config, text_encoder.dtype  # the pipeline reads both

    @property
    def device(self) -> torch.device:
        """The text encoder's device."""
        return self.text_encoder.device

    def forward(self, tokens: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor]:
        """Embeddings [b t d], in a tuple of one."""
        return (self.adapter(hidden(self.text_encoder, tokens, self.layers, attention_mask)),)


def hidden(
    text_encoder: nn.Module, tokens: Tensor, layers: Sequence[int] = (), attention_mask: Tensor | None = None
) -> Tensor:
    """A CLIPTextModel's output for tokens [b t]: [b t d], or n of its hidden states, concatenated: [b t n*d]."""
    out = text_encoder(tokens, attention_mask=attention_mask, output_hidden_states=bool(layers))
    return torch.cat([out.hidden_states[k] for k in layers], dim=-1) if layers else out[0]


def text_width(text_encoder: nn.Module) -> int:
    """d of the embeddings [b t d], found by encoding one token, since an adapter may change it."""
    with torch.no_grad():
        return text_encoder(torch.zeros(1, 1, dtype=torch.long, device=text_encoder.device))[0].shape[-1]


def check_parts(pipe: CoursePipeline, **parts: nn.Module) -> None:
    """ValueError unless pipe is a pipeline and the parts fit into it: name, class, dtype, device, latent channels, text
    width and vocabulary."""
    pipe = course_pipeline(pipe)
    if not parts:
        raise ValueError(f"no part is given: name one of {', '.join(PARTS)}, such as vae=...")
    for name, part in parts.items():
        _check_kind(name, part)
        before = getattr(pipe, name)
        if (part.dtype, part.device) != (before.dtype, before.device):
            new, old = (f"{str(x.dtype).removeprefix('torch.')} on {x.device}" for x in (part, before))
            raise ValueError(f"{name} is in {new}, but the pipeline's in {old}: move it with .to(device, dtype) first.")
    _check_fit(*(parts.get(name, getattr(pipe, name)) for name in PARTS), tokens=len(pipe.tokenizer))


def _check_kind(name: str, part: object) -> None:
    if name not in PARTS:
        choice = 'use swapped_scheduler(pipe, "dpm++")' if name == "scheduler" else f"name one of {', '.join(PARTS)}"
        raise ValueError(f"{checking.listed(name)} is no part that can be swapped: {choice}.")
    if name in _CLASSES and not isinstance(part, _CLASSES[name]):
        allowed = " or ".join(cls.__name__ for cls in _CLASSES[name])
        raise ValueError(f"{name} is a {type(part).__name__}, but must be {allowed}.")
    complete = isinstance(part, nn.Module) and all(hasattr(part, key) for key in ("config", "dtype", "device"))
    if not complete or (name == "text_encoder" and not hasattr(part.config, "vocab_size")):
        raise ValueError(f"{name} is a {type(part).__name__}: use a CLIPTextModel, or one in swapping.Adapted.")


def _check_fit(encoder: nn.Module, unet: nn.Module, vae: nn.Module, tokens: int) -> None:
    made, read = unet.config.out_channels, vae.config.latent_channels
    if made != read:
        raise ValueError(
            f"the UNet makes latents of {made} channels, but the VAE reads {read}: "
            f"take a VAE of {made} channels that was trained on the same latents."
        )
    made, read = text_width(encoder), unet.config.cross_attention_dim
    if made != read:
        raise ValueError(
            f"the text encoder gives {made} numbers a token, but the UNet reads {read}: "
            f"put an adapter from {made} to {read} behind it, swapping.Adapted(text_encoder, adapter)."
        )
    if encoder.config.vocab_size < tokens:
        raise ValueError(
            f"the text encoder has {encoder.config.vocab_size} tokens, but the tokenizer {tokens}: "
            "use the tokenizer that it was trained with."
        )
