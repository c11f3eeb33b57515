"""The checks of notebook 11: do I get what the blog got?"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from t2v_helpers.checks.advice import Advice, noises, nothing_from, tensor_advice


def check_11_1(verdict_of: Callable) -> Advice:
    """`verdict_of(a, b)` for uint8 videos: "same bits", "same within rounding" (2 grey levels), "another video"."""
    a = np.full((2, 3, 3, 3), 100, np.uint8)  # [f h w c]
    one_up, one_down, far, dark = a.copy(), a.copy(), a.copy(), a.copy()
    one_up[0], one_down[1], far[0, 1, 2, 0], dark[1, 0, 0, 2] = 101, 99, 160, 40
    black, white = np.zeros_like(a), np.full_like(a, 255)
    cases = (  # two videos, the verdict, and what another verdict tells
        (a, a.copy(), "same bits", "Two videos whose pixels are all equal are the same, bit for bit."),
        (
            a,
            far,
            "another video",
            "One pixel is off by 60, and 60 is no rounding. A mean hides it: look for the largest.",
        ),
        (a, one_down, "same within rounding", "One grey level is rounding. In uint8, 99 - 100 is 255: use int first."),
        (a, one_up, "same within rounding", "One grey level is rounding. In uint8, 100 - 101 is 255: use int first."),
        (a, a + np.uint8(2), "same within rounding", "Two grey levels are still rounding here: at most 2."),
        (a, a + np.uint8(3), "another video", "Three grey levels are more than rounding here: at most 2."),
        (a, dark, "another video", "One pixel is 60 darker. Below counts as above: take the absolute value."),
        (black, white, "another video", "255 are no rounding. In eight bits with a sign 255 is -1: use int."),
    )
    for a, b, wanted, advice in cases:
        given = verdict_of(a, b)
        yield nothing_from("verdict_of", given)
        if given not in {case[2] for case in cases}:
            yield f"verdict_of gave {given!r}; one of the three sentences is wanted, letter for letter."
        if given != wanted:
            yield f"{advice} You say {given!r}."
    return "The ledger's own `compare` decides in the same way."


def check_11_2(start_of: Callable) -> Advice:
    """`start_of(k, shape) -> Tensor`: the k-th draw, k from 1, of one generator that is seeded once with 1234."""
    shape = (1, 4, 2, 4, 4)  # [b c f h w]; a multiple of 16 numbers, so that one long draw gives the same
    for k in (1, 3):
        draws = noises(*[shape] * (k + 1), seed=1234)
        mistakes = {
            "That is the first draw. The videos before took theirs from the same generator: draw those too.": draws[0],
            "That is one draw too many: the first video starts from the first draw.": draws[k],
            "Another seed is another stream. The blog seeds once, with 1234, and goes on.":
                noises(shape, seed=1234 + k - 1)[0],
            "Another seed is another stream. The blog seeds once, with 1234, not with 1234 + k.":
                noises(shape, seed=1234 + k)[0],
        }  # fmt: skip
        otherwise = "Make one generator of seed 1234, draw k times torch.randn(shape), and give the last one back."
        yield tensor_advice(f"start_of({k}, shape)", start_of(k, shape), draws[k - 1], mistakes, otherwise)
    return "To make the blog's fourth video alone, you must first throw three noises away."


def check_11_3(still: Callable) -> Advice:
    """`still(grey [f h w]) -> [h w-1]`: the median over time of the change from each pixel to its right neighbour."""
    grey = noises((3, 5, 5))[0].repeat(3, 1, 1) * 20 + 128  # [9 h w]
    grey = grey + noises((9, 5, 5), seed=1)[0] * 9
    change = grey.diff(dim=2)  # [f h w-1]
    wanted = change.median(dim=0).values
    mistakes = {
        "That is the mean over time. One frame where something passes would pull it; the median lets it pass.":
            change.mean(dim=0),
        "That is the median of the picture, and then its edges: a bright thing that passes still leaves edges. "
        "Take the change in each frame first.": grey.median(dim=0).values.diff(dim=1),
        "You dropped the signs: then noise, which goes up as often as down, no longer cancels.":
            change.abs().median(dim=0).values,
        "That is the left pixel minus the right one; the right one minus the left one is wanted.": -wanted,
    }  # fmt: skip
    given = still(grey.numpy())
    given = torch.from_numpy(given) if isinstance(given, np.ndarray) else given
    shape = tuple(given.shape) if isinstance(given, Tensor) else None
    if shape == (grey.shape[1] - 1, grey.shape[2]):
        yield "That is the change from row to row. Letters have upright strokes: go along the last axis, w."
    if shape == (grey.shape[0] - 1, *grey.shape[1:]):
        yield "That is the change from frame to frame. What stands still has none: go along the last axis, w."
    otherwise = "Take grey[:, :, 1:] - grey[:, :, :-1], and its median over the first axis."
    yield tensor_advice("still", given, wanted, mistakes, otherwise)
    return "What moves has its edges elsewhere in every frame, and so the median forgets it."
