"""Puts another part into a pipeline for a while: another VAE, UNet or text encoder, and the adapter that makes one fit.

    with swapped_part(pipe, vae=tiny): ...

A part that cannot fit by its shapes is refused before anything runs. That it *means* the same nobody can check here: a
VAE of the right shape with other latents is taken, and gives coloured fog. Schedulers: `swapped_scheduler`.

Shapes: text tokens [b t] -> embeddings [b t d], latents [b c f h w].
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors import SafetensorError
from torch import Tensor, nn

from t2v_helpers.core import files
from t2v_helpers.diffusion import schedulers
from t2v_helpers.inside.unet import UNet3D
from t2v_helpers.model.loading import quiet_libraries
from t2v_helpers.model.pipeline import CoursePipeline, course_pipeline

PARTS = ("text_encoder", "unet", "vae")
_CLASSES = {"unet": (getattr(diffusers, "UNet3DConditionModel", UNet3D),), "vae": (AutoencoderKL, AutoencoderTiny)}


@contextmanager
def swapped_scheduler(
    pipe: CoursePipeline, name: str, spacing: str | None = None, **options
) -> Iterator[CoursePipeline]:
    """The pipeline with another scheduler inside the `with`; the old one is back afterwards, also after an error.

    ValueError, ImportError: see schedulers.make; ValueError: no pipeline.
    """
    pipe = course_pipeline(pipe)
    with pipe.using(scheduler=schedulers.make(name, pipe.scheduler.config, spacing, **options)):
        yield pipe


def read_part(cls: type, folder: str | Path, like: nn.Module) -> nn.Module:
    """The part of that class in a folder, ready to stand in for `like`: on its device, in its dtype, not to be trained.

    Errors: FileNotFoundError (no such folder), ValueError (another class was saved in it, or it is damaged).
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give the one that a {cls.__name__} was saved in.")
    try:
        with quiet_libraries(), _errors_alone():
            part = cls.from_pretrained(folder, local_files_only=True).to(like.device, like.dtype)
    except (OSError, ValueError, SafetensorError) as error:
        why = files.reason(error)
        raise ValueError(f"{folder} holds no whole {cls.__name__} ({why}): copy or download it again.") from error
    return part.requires_grad_(False).eval()


@contextmanager
def _errors_alone() -> Iterator[None]:
    """No report of a cast, nor of weights that stay in the file: a CLIP's text half leaves the other half there."""
    levels = [(lib, lib.get_verbosity()) for lib in (diffusers.utils.logging, transformers.utils.logging)]
    for lib, _ in levels:
        lib.set_verbosity_error()
    try:
        yield
    finally:
        for lib, level in levels:
            lib.set_verbosity(level)


class Adapted(nn.Module):
    """A text encoder whose embeddings [b t e] go through an adapter, a module that makes them [b t d].

    It stands in for a CLIPTextModel: tokens [b t] in, a tuple that begins with the embeddings out. layers: the numbers
    of the hidden states that the adapter reads side by side, 0 for the table of tokens; none: the encoder's output.
    """

    def __init__(self, text_encoder: nn.Module, adapter: nn.Module, layers: Sequence[int] = ()):
        super().__init__()
        self.text_encoder, self.adapter, self.layers = text_encoder, adapter, tuple(layers)
        self.config, self.dtype = text_encoder.config, text_encoder.dtype  # the pipeline asks for both

    @property
    def device(self) -> torch.device:
        """Where the text encoder is."""
        return self.text_encoder.device

    def forward(self, tokens: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor]:
        """Embeddings [b t d], first and alone in a tuple."""
        return (self.adapter(hidden(self.text_encoder, tokens, self.layers, attention_mask)),)


def hidden(
    text_encoder: nn.Module, tokens: Tensor, layers: Sequence[int] = (), attention_mask: Tensor | None = None
) -> Tensor:
    """What a CLIPTextModel makes of tokens [b t]: its output [b t d], or some hidden states side by side [b t n*d]."""
    out = text_encoder(tokens, attention_mask=attention_mask, output_hidden_states=bool(layers))
    return torch.cat([out.hidden_states[k] for k in layers], dim=-1) if layers else out[0]


@contextmanager
def swapped_part(pipe: CoursePipeline, **parts: nn.Module) -> Iterator[CoursePipeline]:
    """The pipeline with other parts inside the `with`; the very same old ones are back afterwards, also after an error.

    parts: vae=, unet= or text_encoder=, one or more; they have to fit one another and what stays.
    Errors, all ValueError: no pipeline; a part of another name or class; latent channels, text width or vocabulary that
    do not fit; another dtype or device than the pipeline's.
    """
    check_parts(pipe, **parts)
    with course_pipeline(pipe).using(**parts):
        yield pipe


def check_parts(pipe: CoursePipeline, **parts: nn.Module) -> None:
    """ValueError unless pipe is a pipeline into which the parts fit by name, class, shapes, dtype and device."""
    pipe = course_pipeline(pipe)
    if not parts:
        raise ValueError(f"no part is given: name one of {', '.join(PARTS)}, such as vae=...")
    for name, part in parts.items():
        _check_kind(name, part)
        _check_place(name, part, pipe)
    chosen = {name: parts.get(name, getattr(pipe, name)) for name in PARTS}
    _check_channels(chosen)
    _check_text(chosen, len(pipe.tokenizer))


def text_width(text_encoder: nn.Module) -> int:
    """d of the embeddings [b t d], found by reading one token: an adapter may stand behind the encoder."""
    with torch.no_grad():
        return text_encoder(torch.zeros(1, 1, dtype=torch.long, device=text_encoder.device))[0].shape[-1]


def _check_kind(name: str, part: object) -> None:
    if name == "scheduler":
        raise ValueError('scheduler is no trained part: swap it with swapped_scheduler(pipe, "dpm++").')
    if name not in PARTS:
        raise ValueError(f"{name} is no part that can be swapped: name one of {', '.join(PARTS)}.")
    if name in _CLASSES and not isinstance(part, _CLASSES[name]):
        allowed = " or ".join(cls.__name__ for cls in _CLASSES[name])
        raise ValueError(f"{name} is a {type(part).__name__}, but must be {allowed}.")
    alike = isinstance(part, nn.Module) and all(hasattr(part, key) for key in ("config", "dtype", "device"))
    if not alike or (name == "text_encoder" and not hasattr(part.config, "vocab_size")):
        raise ValueError(f"{name} is a {type(part).__name__}: give a CLIPTextModel, or one in swapping.Adapted.")


def _check_place(name: str, part: nn.Module, pipe: CoursePipeline) -> None:
    before = getattr(pipe, name)
    if (part.dtype, part.device) != (before.dtype, before.device):
        here, there = (f"{str(x.dtype).removeprefix('torch.')} on {x.device}" for x in (part, before))
        raise ValueError(f"{name} is in {here}, but the pipeline's in {there}: move it with .to(device, dtype) first.")


def _check_channels(chosen: dict[str, nn.Module]) -> None:
    made, read = chosen["unet"].config.out_channels, chosen["vae"].config.latent_channels
    if made != read:
        raise ValueError(
            f"the UNet makes latents of {made} channels, but the VAE reads {read}: "
            f"take a VAE of {made} channels that was trained on the same latents."
        )


def _check_text(chosen: dict[str, nn.Module], tokens: int) -> None:
    encoder = chosen["text_encoder"]
    given, read = text_width(encoder), chosen["unet"].config.cross_attention_dim
    if given != read:
        raise ValueError(
            f"the text encoder gives {given} numbers a token, but the UNet reads {read}: "
            f"put an adapter from {given} to {read} behind it, swapping.Adapted(text_encoder, adapter)."
        )
    if encoder.config.vocab_size < tokens:
        raise ValueError(
            f"the text encoder knows {encoder.config.vocab_size} tokens, but the tokenizer makes {tokens}: "
            "take the tokenizer that it was trained with."
        )
