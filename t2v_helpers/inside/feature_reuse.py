"""Ways to compute less in a denoising step: what a step asks of the UNet, and what it need not ask again.

    pipe.predictor = Shortcuts(reuse=3)       # from now on generate.denoise works so; del pipe.predictor ends it
    with text_kept(unet, text): ...           # exact: keys and values of the text once a video, not once a step

A maker of predictions takes the UNet, the text [2 t d] (the negative prompt first) and the guidance scale, and gives a
function: x_t [1 c f h w] and a timestep in, the guided noise [1 c f h w] out. `generate` makes one for every video, so
nothing that one keeps can reach another video. `guided` is what happens without a predictor.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Predict = Callable[[Tensor, Tensor], Tensor]
MOST = 1000  # steps and timesteps


def guided(unet: nn.Module, text: Tensor, guidance: float) -> Predict:
    """Both halves of guidance in one call of the UNet; at guidance 1 the half without the prompt is not computed."""

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        words = text if guidance > 1 else text[1:]
        x = torch.cat([x_t] * len(words))  # [b c f h w]
        return combined(unet(x, t, encoder_hidden_states=words, return_dict=False)[0], guidance)

    return predict


def in_two_passes(unet: nn.Module, text: Tensor, guidance: float) -> Predict:
    """The two halves one after the other: the same numbers but for rounding, with half of the memory at a time."""

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        halves = text.split(1) if guidance > 1 else [text[1:]]
        noise_pred = [unet(x_t, t, encoder_hidden_states=words, return_dict=False)[0] for words in halves]
        return combined(torch.cat(noise_pred), guidance)

    return predict


def combined(noise_pred: Tensor, guidance: float) -> Tensor:
    """eps = eps_negative + w (eps_prompt - eps_negative) of [2 c f h w]; of one half, [1 c f h w], itself.

    Ho & Salimans 2022, arXiv 2207.12598, equation 6, in diffusers' convention for w.
    """
    if len(noise_pred) == 1:
        return noise_pred
    negative, prompt = noise_pred.chunk(2)
    return negative + guidance * (prompt - negative)  # [1 c f h w]


@dataclass(frozen=True)
class Shortcuts:
    """A maker of predictions that leaves something out. It changes the video a little; the default changes nothing.

    reuse: all layers are computed in every reuse-th call, and but the last one in those between, which reads the deep
    features of the call before (DeepCache, Ma et al. 2023, arXiv 2312.00858, section 3).
    guided_above: guidance only at timesteps that are not below it; then the prompt alone (Kynkaanniemi et al. 2024,
    arXiv 2404.07724, section 3, with an interval that ends there). ValueError: a value out of range.
    """

    reuse: int = 1
    guided_above: int = 0

    def __post_init__(self):
        for name, low in (("reuse", 1), ("guided_above", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= MOST:
                raise ValueError(f"{name}={value!r} is not allowed: use a whole number from {low} to {MOST}.")

    def __call__(self, unet: nn.Module, text: Tensor, guidance: float) -> Predict:
        """A prediction for one video. ValueError: not the course's UNet."""
        if not hasattr(unet, "enter"):
            raise ValueError(f"unet is a {type(unet).__name__}: Shortcuts need unet.from_diffusers(pipe.unet).")
        return _Video(self, unet, text, guidance).predict

    def __str__(self) -> str:
        often = f"deep features at interval {self.reuse}" if self.reuse > 1 else ""
        told = [often, f"guidance down to timestep {self.guided_above}" if self.guided_above else ""]
        return ", ".join(filter(None, told)) or "none"


# of loading.load(..., fast=True), chosen by the table of the notebook 10_speed
FAST = Shortcuts(reuse=5, guided_above=500)


class _Video:
    """One video on its way: calls of the UNet so far, and the deep features [(b f) c h w] of the last full call."""

    def __init__(self, ways: Shortcuts, unet: nn.Module, text: Tensor, guidance: float):
        self.ways, self.unet, self.text, self.guidance = ways, unet, text, guidance
        self.calls, self.deep = 0, None

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        both = self.guidance > 1 and t >= self.ways.guided_above
        words = self.text if both else self.text[1:]  # [b t d]
        x = torch.cat([x_t] * len(words))  # [b c f h w]
        needed = len(words) * x_t.shape[2]
        whole = self.calls % self.ways.reuse == 0 or len(self.deep) < needed
        self.calls += 1
        if whole:
            noise_pred, self.deep = all_layers(self.unet, x, t, words)
        else:
            noise_pred = last_layer(self.unet, x, t, words, self.deep[-needed:])  # the prompt's half is the second
        return combined(noise_pred, self.guidance)


def all_layers(unet: nn.Module, x_t: Tensor, t: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """The UNet's noise [b c f h w], and what its last layer read from below, [(b f) c h w]."""
    seen = []
    last = unet.up_blocks[-1].resnets[-1]
    hook = last.register_forward_pre_hook(lambda part, given: seen.append(given[0]))
    try:
        noise_pred = unet(x_t, t, text).sample
    finally:
        hook.remove()
    return noise_pred, seen[0][:, : -unet.config.block_out_channels[0]]  # beside it stands the skip, what enters


def last_layer(unet: nn.Module, x_t: Tensor, t: Tensor, text: Tensor, deep: Tensor) -> Tensor:
    """The noise [b c f h w] from the first features of this call, and `deep` [(b f) c h w] of an earlier one."""
    x, time = unet.enter(x_t, t)
    block = unet.up_blocks[-1]
    i = len(block.resnets) - 1
    x = block.attend(i, block.convolve(i, torch.cat([deep, x], dim=1), time), text)  # [(b f) c h w]
    return unet.leave(x, len(x_t))


@contextmanager
def text_kept(unet: nn.Module, encoder_hidden_states: Tensor) -> Iterator[None]:
    """Within this context the keys and values of this text [b t d] are computed once, not in every step.

    Any other text is computed as ever, so nothing is ever read off the wrong text. unet: a UNet3D; its weights must
    stay as they are.
    """
    readers = [part for part in unet.modules() if hasattr(part, "keys_and_values") and part.text]
    before = unet.kept_text, [part.kept for part in readers]
    unet.kept_text = text = encoder_hidden_states.clone()  # a copy: what the caller does to theirs changes nothing
    for part in readers:
        part.kept = (text, *part.keys_and_values(text))
    try:
        yield
    finally:
        unet.kept_text = before[0]
        for part, kept in zip(readers, before[1], strict=True):
            part.kept = kept
