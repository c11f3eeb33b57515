"""Where a model looks: which place of a frame reads which word, and which frame reads which other frame.

    with recorded(pipe) as maps:
        made = generate(pipe, spec)
    heat = maps.of_word(pipe.tokenizer, spec.prompt, "dog")     # [f h w], 0 to 1: where "dog" is read
    video.write_mp4(overlaid(made.frames, heat), "dog.mp4", 8)

Attention is softmax(q k^T / sqrt(d)) (Vaswani et al. 2017, arXiv 1706.03762, equation 1); each row, the attention of
one place, sums to one. In cross-attention rows are places and columns words (drawn first by Hertz et al. 2022,
"Prompt-to-Prompt", arXiv 2208.01626, section 3); in temporal attention both are frames of one place.

The original processors still compute the model's output, so the video stays the same bit for bit; the weights are
computed a second time. Letters: b batch (with guidance, the sample without the prompt first), f frames, h w places,
t tokens.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from diffusers import Transformer2DModel, TransformerTemporalModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from t2v_helpers.core import checking

TRANSFORMERS = (Transformer2DModel, TransformerTemporalModel)


@dataclass(frozen=True)
class AttentionRecord:
    """The weights of one layer in one call of the UNet, the mean of its heads.

    kind "cross": [b f h w t], the rows over t sum to one; "temporal": [b h w f f], the rows over the last f.
    """

    kind: str
    layer: str
    call: int
    weights: Tensor


@dataclass
class Maps:
    """All attention records, in the order of computing."""

    records: list[AttentionRecord] = field(default_factory=list)
    calls: int = 0  # of the UNet
    asked: tuple[Tensor, int] | None = None  # the prompt's embedding and the number of frames

    def check_same(self, text: Tensor, frames: int) -> None:
        """ValueError: another prompt [b t e] or number of frames than in the calls before."""
        before, f = self.asked = self.asked or (text, frames)
        if f != frames or not torch.equal(before, text):
            raise ValueError("another prompt or length begins, but maps hold one: open a `recorded(pipe)` for each.")

    def chosen(self, kind: str, layers: str = "", calls: Sequence[int] | None = None) -> list[AttentionRecord]:
        """The records of a kind, of layers whose name contains `layers`, in these calls. ValueError: there are none."""
        _check_text("layers", layers)
        listed = calls is None or isinstance(calls, Sequence) and not isinstance(calls, str)
        if not listed or not all(call in range(self.calls) for call in calls or ()):
            raise ValueError(f"calls={calls!r} is not allowed: list some of the {self.calls} calls, or None for all.")
        found = [record for record in self.records if record.kind == kind and layers in record.layer]
        found = [record for record in found if calls is None or record.call in calls]
        if not found:
            has = ", ".join(sorted({f"{record.kind} {record.layer}" for record in self.records})) or "nothing"
            raise ValueError(
                f"kind={kind!r}, layers={layers!r}, calls={calls} was not recorded: there are "
                f"{self.calls} calls of {has}."
            )
        return found

    def of_word(
        self, tokenizer, prompt: str, word: str, layers: str = "", calls: Sequence[int] | None = None, sample: int = -1
    ) -> Tensor:
        """Where a word of the prompt is read: [f h w], 0 to 1, of the largest layer's size.

        The mean over layers (enlarged), calls and the word's tokens. prompt: the one that was recorded. sample: which
        of the batch; the last one has the prompt. ValueError: the word is not in the prompt; nothing was recorded.
        """
        _check_sample(sample, records := self.chosen("cross", layers, calls))
        places = tokens_of(tokenizer, prompt, word)
        read = [record.weights[sample, ..., places].mean(dim=-1) for record in records]
        largest = max((x.shape for x in read), key=math.prod)  # f h w
        return torch.stack([_enlarged(x, largest[1:]) for x in read]).mean(dim=0)

    def between_frames(self, layers: str = "", calls: Sequence[int] | None = None, sample: int = -1) -> Tensor:
        """How much each frame reads each other one: [f f], the mean over places, layers and calls; rows sum to one."""
        _check_sample(sample, records := self.chosen("temporal", layers, calls))
        read = [record.weights[sample].mean(dim=(0, 1)) for record in records]
        return torch.stack(read).mean(dim=0)


def _check_sample(sample: int, records: Sequence[AttentionRecord]) -> None:
    size = len(records[0].weights)
    checking.whole("sample", sample, -size, size - 1)


def tokens_of(tokenizer, prompt: str, word: str) -> list[int]:
    """The positions of `word`, one or several words, in the prompt's tokens. ValueError: not there, not texts."""
    _check_text("prompt", prompt)
    _check_text("word", word)
    whole = tokenizer(prompt, truncation=True).input_ids
    part = tokenizer(word).input_ids[1:-1]
    starts = [i for i in _word_starts(tokenizer, whole) if part and whole[i : i + len(part)] == part]
    if not starts:
        raise ValueError(f"word={word!r} is not in the prompt {prompt!r}: use one of its words.")
    return [i for start in starts for i in range(start, start + len(part))]


def _word_starts(tokenizer, tokens: list[int]) -> list[int]:
    """Where words start: first, or after a token that ends a word. The last letter of "zebra" is not the word "a"."""
    pieces = tokenizer.convert_ids_to_tokens(tokens)
    return [i for i in range(1, len(pieces)) if i == 1 or pieces[i - 1].endswith("</w>")]


def _check_text(name: str, text: str) -> None:
    checking.kind(name, text, str, "a text in quotes")


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x[None], size, mode="bilinear")[0]  # [f h w]


# --- recording


@contextmanager
def recorded(pipe, layers: str = "") -> Iterator[Maps]:
    """Record cross- and temporal attention of every UNet call, in layers whose name contains `layers`.

    Weights are kept in float32 on the CPU: with the real model, name a layer, or they take many GiB. On exit, also
    after an error, the same processors are back and the hooks removed. ValueError: no such layer; later, a second
    prompt or another number of frames, before the UNet computes anything.
    """
    _check_text("layers", layers)
    if not isinstance(getattr(pipe, "unet", None), nn.Module):
        raise ValueError(f"pipe is a {type(pipe).__name__} without a unet: use a pipeline of loading.load.")
    maps, shape = Maps(), {}
    with ExitStack() as stack:
        for module, hook in _hooks(pipe.unet, maps, shape):
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        for name, attn, kind in _attentions(pipe.unet, layers):
            stack.callback(setattr, attn, "processor", attn.processor)
            attn.processor = Recorder(attn.processor, maps, kind, name, shape)
        yield maps


def _hooks(unet: nn.Module, maps: Maps, shape: dict[str, int]) -> Iterator[tuple[nn.Module, Callable]]:
    """Hooks that note the shape: the frames at the UNet's input, height and width at each layer."""

    def begin(module, args, kwargs):
        asked = kwargs.get("encoder_hidden_states", args[2] if len(args) > 2 else None)  # [b t e]
        shape["f"] = (args[0] if args else kwargs["sample"]).shape[2]
        maps.check_same(asked, shape["f"])
        maps.calls += 1

    def enter(module, args, kwargs):
        shape["h"], shape["w"] = (args[0] if args else kwargs["hidden_states"]).shape[-2:]

    yield unet, begin
    for module in unet.modules():
        if isinstance(module, TRANSFORMERS):
            yield module, enter


def _attentions(unet: nn.Module, layers: str) -> list[tuple[str, Attention, str]]:
    """(name, attention, kind) of each to record. ValueError: no layer's name contains `layers`, or there is none."""
    found = {name: module for name, module in unet.named_modules() if isinstance(module, TRANSFORMERS)}
    if not found:
        raise ValueError(
            f"unet is a {type(unet).__name__} without diffusers' attentions: load the model without fast=True."
        )
    if not any(layers in name for name in found):
        raise ValueError(f"layers={layers!r} is in no layer's name: use a part of one of {', '.join(found)}.")
    attentions = []
    for name, module in found.items():
        temporal = isinstance(module, TransformerTemporalModel)
        for block in module.transformer_blocks if layers in name else ():
            both = ("temporal", ("attn1", "attn2")) if temporal else ("cross", ("attn2",))
            attentions += [(f"{name}.{part}", getattr(block, part), both[0]) for part in both[1]]
    return attentions


@dataclass
class Recorder:
    """A processor that records the weights and lets `inner` compute the output."""

    inner: Callable
    maps: Maps
    kind: str
    layer: str
    shape: dict[str, int]

    def __call__(self, attn: Attention, hidden_states, encoder_hidden_states=None, attention_mask=None, **kwargs):
        seen = _weights(attn, hidden_states, encoder_hidden_states, attention_mask)
        f, h, w = (self.shape[axis] for axis in "fhw")
        if self.kind == "cross":
            seen = seen.unflatten(1, (h, w)).unflatten(0, (-1, f))  # [b f h w t]
        else:
            seen = seen.unflatten(0, (-1, h, w))  # [b h w f f]
        self.maps.records.append(AttentionRecord(self.kind, self.layer, self.maps.calls - 1, seen))
        return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs)


@torch.no_grad()
def _weights(attn: Attention, x: Tensor, text: Tensor | None, mask: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(d)), the mean of the heads: x [n q c], text [n k e] or None -> float32 [n q k]."""
    query = attn.head_to_batch_dim(attn.to_q(x)).float()
    key = attn.head_to_batch_dim(attn.to_k(x if text is None else text)).float()
    return attn.get_attention_scores(query, key, mask).unflatten(0, (-1, attn.heads)).mean(dim=1).cpu()


# --- showing


def overlaid(frames: np.ndarray, heat: Tensor, shade: float = 0.25) -> np.ndarray:
    """A video uint8 [f h w 3], bright where the heat [f h' w'] is high, and dark, down to `shade`, elsewhere.

    The heat is enlarged to the video and scaled from its lowest to its highest value over all frames. ValueError:
    frames; another number of frames; NaN; shade outside 0 to 0.99.
    """
    frames = checking.frames(frames)
    checking.kind("heat", heat, (Tensor, np.ndarray), "an array [f h w], such as of_word returns")
    heat = torch.as_tensor(heat).detach()
    if heat.ndim != 3 or len(heat) != len(frames) or not heat.numel() or not heat.isfinite().all():
        raise ValueError(
            f"heat is {list(heat.shape)}; give finite numbers [f h w], one picture for {len(frames)} frames."
        )
    checking.number("shade", shade, 0, 0.99)
    high = _enlarged(heat.float(), frames.shape[1:3])  # [f h w]
    high = (high - high.min()) / (high.max() - high.min()).clamp(min=1e-9)
    lit = frames * (shade + (1 - shade) * high[..., None].numpy())  # [f h w c]
    return lit.round().astype(np.uint8)
