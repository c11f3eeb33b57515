"""Ways to compute less in a denoising step: what a step asks of the UNet, and what it need not ask again.

    with pipe.using(predictor=Shortcuts(reuse=3)): ...   # every video made inside leaves that much out
    with text_kept(unet, text): ...           # exact: keys and values of the text once a video, not once a step

What a predictor is, diffusion/guidance.py says.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from t2v_helpers.core.checking import whole
from t2v_helpers.diffusion.guidance import Predict, combined

MOST = 1000  # steps and timesteps


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
        whole("reuse", self.reuse, 1, MOST)
        whole("guided_above", self.guided_above, 0, MOST)

    def __call__(self, unet: nn.Module, text: Tensor, guidance: float) -> Predict:
        """A prediction for one video. ValueError: not the course's UNet."""
        if not hasattr(unet, "enter"):
            raise ValueError(f"unet is a {type(unet).__name__}: Shortcuts need unet.from_diffusers(pipe.unet).")
        calls, deep = 0, None  # of this video so far, and the deep features [(b f) c h w] of its last full call

        def predict(x_t: Tensor, t: Tensor) -> Tensor:
            nonlocal calls, deep
            both = guidance > 1 and t >= self.guided_above
            words = text if both else text[1:]  # [b t d]
            needed = len(words) * x_t.shape[2]
            if calls % self.reuse == 0 or len(deep) < needed:
                noise_pred, deep = all_layers(unet, x_t, t, words)
            else:
                noise_pred = last_layer(unet, x_t, t, words, deep[-needed:])  # the prompt's half is the second
            calls += 1
            return combined(noise_pred, guidance) if both else noise_pred

        return predict

    def __str__(self) -> str:
        often = f"deep features at interval {self.reuse}" if self.reuse > 1 else ""
        guided = f"guidance down to timestep {self.guided_above}" if self.guided_above else ""
        return ", ".join(filter(None, (often, guided))) or "none"


# by the table of the notebook 10_speed the fastest that the judge cannot show to be worse
CHOSEN = Shortcuts(reuse=5, guided_above=500)


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
    x, time = unet.enter(x_t, t, len(text) // len(x_t))
    block = unet.up_blocks[-1]
    i = len(block.resnets) - 1
    x = block.attend(i, block.convolve(i, torch.cat([deep, x], dim=1), time), text)  # [(b f) c h w]
    return unet.leave(x, len(text))


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
