"""Where a model looks: which place of a frame reads which word, and which frame reads which other frame.

    with recorded(pipe) as maps:
        made = generate(pipe, spec)
    heat = maps.of_word(pipe.tokenizer, spec.prompt, "dog")     # [f h w], 0 to 1: where "dog" is read
    video.write_mp4(overlaid(made.frames, heat), "dog.mp4", 8)

Attention is softmax(q k^T / sqrt(d)) (Vaswani et al. 2017, arXiv 1706.03762, equation 1); each row, the attention of
one place, sums to one. In cross-attention rows are places and columns words (drawn first by Hertz et al. 2022,
"Prompt-to-Prompt", arXiv 2208.01626, section 3); in temporal attention both are frames of one place.

The model computes its output as ever, so the video stays the same bit for bit; hooks compute the weights a second
time. Letters: b batch (with guidance, the sample without the prompt first), f frames, h w places,
t tokens.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from diffusers import Transformer2DModel, TransformerTemporalModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from t2v_helpers.core import checking

SHADE = 0.25
KINDS = {  # transformer -> the kind of its records, and the attentions of its blocks that are recorded
    Transformer2DModel: ("cross", ("attn2",)),
    TransformerTemporalModel: ("temporal", ("attn1", "attn2")),
}


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

    def chosen(self, kind: str, layers: str = "") -> list[AttentionRecord]:
        """The records of a kind, of layers whose name contains `layers`. ValueError: there are none."""
        _check_text("layers", layers)
        found = [record for record in self.records if record.kind == kind and layers in record.layer]
        if not found:
            has = ", ".join(sorted({f"{record.kind} {record.layer}" for record in self.records})) or "nothing"
            asked = f"kind={checking.shown(kind)}, layers={checking.shown(layers)}"
            raise ValueError(f"{asked} was not recorded: there are {self.calls} calls of {has}.")
        return found

    def of_word(self, tokenizer, prompt: str, word: str) -> Tensor:
        """Where a word of the prompt is read: [f h w], 0 to 1, of the largest layer's size.

        The mean over layers (enlarged), calls and the word's tokens, in the last sample, which has the prompt. prompt:
        the one that was recorded. ValueError: the word is not in the prompt; nothing was recorded.
        """
        records, places = self.chosen("cross"), tokens_of(tokenizer, prompt, word)
        read = [record.weights[-1, ..., places].mean(dim=-1) for record in records]
        largest = max((x.shape for x in read), key=math.prod)  # f h w
        return torch.stack([_enlarged(x, largest[1:]) for x in read]).mean(dim=0)


def tokens_of(tokenizer, prompt: str, word: str) -> list[int]:
    """The positions of `word`, one or several words, in the prompt's tokens. ValueError: not there, not texts."""
    _check_text("prompt", prompt)
    _check_text("word", word)
    whole, part = tokenizer(prompt, truncation=True).input_ids, tokenizer(word).input_ids[1:-1]
    pieces = tokenizer.convert_ids_to_tokens(whole)
    starts = [1, *(i for i in range(2, len(whole)) if pieces[i - 1].endswith("</w>"))]  # "zebra" ends in no word "a"
    found = [i for i in starts if part and whole[i : i + len(part)] == part]
    if not found:
        given = f"word={checking.shown(word)} is not in the prompt {checking.shown(prompt)}"
        raise ValueError(f"{given}: use one of its words.")
    return [i for start in found for i in range(start, start + len(part))]


def _check_text(name: str, text: str) -> None:
    checking.kind(name, text, str, "a text in quotes")


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x[None], size, mode="bilinear")[0]  # [f h w]


@contextmanager
def recorded(pipe, layers: str = "", left_out: Sequence[int] = ()) -> Iterator[Maps]:
    """Record cross- and temporal attention of every UNet call, in layers whose name contains `layers`.

    Weights are kept in float32 on the CPU: with the real model, name a layer, or they take many GiB. left_out: tokens
    that do not compete in the recorded cross-attention; their columns are 0, and the rest of each row sums to one. On
    exit, also after an error, the hooks are removed. ValueError: no such layer; later, a second prompt or another
    number of frames, before the UNet computes anything.
    """
    _check_text("layers", layers)
    if not isinstance(getattr(pipe, "unet", None), nn.Module):
        raise ValueError(f"pipe is a {type(pipe).__name__} without a unet: use a pipeline of loading.load.")
    maps = Maps()
    with ExitStack() as stack:
        for module, hook in _hooks(pipe.unet, maps, layers, left_out):
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield maps


def _hooks(unet: nn.Module, maps: Maps, layers: str, left_out: Sequence[int]) -> Iterator[tuple[nn.Module, Callable]]:
    """Hooks that note the frames at the UNet's input, height and width at each layer, and record the attentions."""
    shape = {}

    def begin(module, args, kwargs):
        asked = kwargs.get("encoder_hidden_states", args[2] if len(args) > 2 else None)  # [b t e]
        shape["f"] = (args[0] if args else kwargs["sample"]).shape[2]
        maps.check_same(asked, shape["f"])
        maps.calls += 1

    def enter(module, args, kwargs):
        shape["h"], shape["w"] = (args[0] if args else kwargs["hidden_states"]).shape[-2:]

    yield unet, begin
    yield from ((module, enter) for module in unet.modules() if type(module) in KINDS)
    for name, attn, kind in _attentions(unet, layers):
        yield attn, partial(_record, maps, shape, kind, name, left_out)


def _attentions(unet: nn.Module, layers: str) -> list[tuple[str, Attention, str]]:
    """(name, attention, kind) of each to record. ValueError: no layer's name contains `layers`, or there is none."""
    found = {name: module for name, module in unet.named_modules() if type(module) in KINDS}
    if not found:
        kind = type(unet).__name__
        raise ValueError(f"unet is a {kind} without diffusers' attentions: use the UNet that loading.load gives.")
    if not any(layers in name for name in found):
        known = ", ".join(found)
        raise ValueError(f"layers={checking.shown(layers)} is in no layer's name: use a part of one of {known}.")
    attentions = []
    for name, module in found.items():
        kind, parts = KINDS[type(module)]
        for block in module.transformer_blocks if layers in name else ():
            attentions += [(f"{name}.{part}", getattr(block, part), kind) for part in parts]
    return attentions


def _record(maps: Maps, shape: dict[str, int], kind: str, layer: str, left_out, attn: Attention, args, kwargs) -> None:
    """Keep the weights of an attention that is about to run."""
    text, mask = kwargs.get("encoder_hidden_states"), kwargs.get("attention_mask")
    if kind == "cross" and left_out:
        mask = torch.zeros(text.shape[1], device=text.device)  # [t], added to the scores
        mask[list(left_out)] = -math.inf
    seen = _weights(attn, args[0], text, mask)
    f, h, w = (shape[axis] for axis in "fhw")
    if kind == "cross":
        seen = seen.unflatten(1, (h, w)).unflatten(0, (-1, f))  # [b f h w t]
    else:
        seen = seen.unflatten(0, (-1, h, w))  # [b h w f f]
    maps.records.append(AttentionRecord(kind, layer, maps.calls - 1, seen))


@torch.no_grad()
def _weights(attn: Attention, x: Tensor, text: Tensor | None, mask: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(d)), the mean of the heads: x [n q c], text [n k e] or None -> float32 [n q k]."""
    query = attn.head_to_batch_dim(attn.to_q(x)).float()
    key = attn.head_to_batch_dim(attn.to_k(x if text is None else text)).float()
    return attn.get_attention_scores(query, key, mask).unflatten(0, (-1, attn.heads)).mean(dim=1).cpu()


def overlaid(frames: np.ndarray, heat: Tensor) -> np.ndarray:
    """A video uint8 [f h w 3], bright where the heat [f h' w'] is high, and dark, down to SHADE, elsewhere.

    The heat is enlarged to the video and scaled from its lowest to its highest value over all frames. ValueError:
    frames; another number of frames; NaN.
    """
    frames = checking.frames(frames)
    checking.kind("heat", heat, (Tensor, np.ndarray), "an array [f h w], such as of_word returns")
    heat = torch.as_tensor(heat).detach()
    if heat.ndim != 3 or len(heat) != len(frames) or not heat.numel() or not heat.isfinite().all():
        needed = f"finite numbers [f h w], one picture for {len(frames)} frames"
        raise ValueError(f"heat is {list(heat.shape)}; give {needed}.")
    high = _enlarged(heat.float(), frames.shape[1:3])  # [f h w]
    high = (high - high.min()) / (high.max() - high.min()).clamp(min=1e-9)
    lit = frames * (SHADE + (1 - SHADE) * high[..., None].numpy())  # [f h w c]
    return lit.round().astype(np.uint8)
