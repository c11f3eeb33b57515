"""Classifier-free guidance: one prediction from two calls' worth of words (Ho & Salimans 2022, arXiv 2207.12598).

A predictor takes the UNet, the text [(2 b) t d] (the negative prompts first) and the guidance scale, and returns a
function: x_t [b c f h w] and a timestep in, the guided noise [b c f h w] out. The denoising loop makes a new one for
every video, so nothing that one remembers can reach another video. `guided` is the usual one.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Predict = Callable[[Tensor, Tensor], Tensor]
Predictor = Callable[[nn.Module, Tensor, float], Predict]


def guided(unet: nn.Module, text: Tensor, guidance: float) -> Predict:
    """Both halves of guidance in one call of the UNet; at guidance 1 the half without the prompt is not computed."""
    words = text if guidance > 1 else text[len(text) // 2 :]  # [(2 b) t d] or [b t d]

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        noise_pred = unet(once(unet, x_t, words), t, encoder_hidden_states=words, return_dict=False)[0]
        return combined(noise_pred, guidance) if guidance > 1 else noise_pred

    return predict


def in_two_passes(unet: nn.Module, text: Tensor, guidance: float) -> Predict:
    """The two halves one after the other: the same numbers up to rounding, with half of the memory at a time."""
    halves = text.chunk(2) if guidance > 1 else [text[len(text) // 2 :]]  # [b t d] each

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        noise_pred = [unet(x_t, t, encoder_hidden_states=words, return_dict=False)[0] for words in halves]
        return combined(torch.cat(noise_pred), guidance) if guidance > 1 else noise_pred[0]

    return predict


def once(unet: nn.Module, x_t: Tensor, words: Tensor) -> Tensor:
    """x_t [b c f h w] as the UNet wants it beside words [(k b) t d]: k times, or once if it is the course's."""
    return x_t if hasattr(unet, "enter") else torch.cat([x_t] * (len(words) // len(x_t)))  # [(k b) c f h w]


def combined(noise_pred: Tensor, guidance: float) -> Tensor:
    """eps = eps_negative + w (eps_prompt - eps_negative): [(2 b) c f h w] -> [b c f h w].

    Ho & Salimans 2022, equation 6, in diffusers' convention for w.
    """
    negative, prompt = noise_pred.chunk(2)
    return negative + guidance * (prompt - negative)  # [b c f h w]
