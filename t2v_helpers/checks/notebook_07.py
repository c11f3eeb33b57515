"""The checks of notebook 07."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from t2v_helpers.checks.advice import Verdict, not_yet, number_advice, right, tensor_advice


def check_07_1(merged: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> Verdict:
    """merged(w [out in], a [r in], b [out r], alpha) is the one matrix that does the work of all three."""
    generator = torch.Generator().manual_seed(0)
    w, a, b = (torch.randn(shape, generator=generator) for shape in ((6, 6), (2, 6), (6, 2)))
    mistakes = {
        "The scale is missing: the change is multiplied by alpha / r, with r the rows of A.": w + b @ a,
        "Alpha is there, but it is to be divided by the rank, the number of rows of A.": w + 3 * b @ a,
        "The scale is upside down: it is alpha / r, not r / alpha.": w + 2 / 3 * b @ a,
        "Only the change came back. The frozen W belongs to it.": 1.5 * b @ a,
        "The product is turned: x meets A first, so A stands on the right, B A.": w + 1.5 * (b @ a).T,
        "The rank is the number of rows of A, not of W.": w + 3 / 6 * b @ a,
    }
    otherwise = "It is W + (alpha / r) B A, with r the number of rows of A."
    if advice := tensor_advice("merged", merged(w, a, b, 3.0), w + 1.5 * b @ a, mistakes, otherwise):
        return not_yet(advice)
    return right("One matrix again: whoever runs the merged model pays nothing for what it learned.")


def check_07_2(lora_parameters: Callable[[Sequence[tuple[int, int]], int], int]) -> Verdict:
    """lora_parameters(shapes, rank): how many numbers A and B hold for layers of these (out, in)."""
    shapes = [(64, 128), (32, 96)]
    mistakes = {
        "That counts the frozen matrices: in times out. Only A and B are learned.": 64 * 128 + 32 * 96,
        "That counts A alone. B has out times r numbers.": 4 * (128 + 96),
        "That counts B alone. A has r times in numbers.": 4 * (64 + 32),
        "That is one layer. Add up all of them.": 4 * (64 + 128),
        "A is r times in, B is out times r: add them, do not multiply them.": 4 * (64 * 128 + 32 * 96),
        "That counts the matrices twice over: r (in + out) for each layer is all.": 8 * (64 + 128 + 32 + 96),
    }
    if advice := number_advice("lora_parameters", lora_parameters(shapes, 4), 4 * (64 + 128 + 32 + 96), mistakes):
        return not_yet(advice)
    return right("It grows in proportion with the rank, and with the sides of a matrix, not with its area.")


def check_07_3(forgotten: Callable[[Sequence[bool], Sequence[bool]], float]) -> Verdict:
    """forgotten(before, after): of the sentences that were right before, the share that is wrong now."""
    before = [True, True, True, True, False, False, True, False, False]
    after = [True, False, True, False, True, False, True, False, False]
    mistakes = {
        "You divide by all the sentences. What was wrong before cannot be forgotten: leave it out.": 2 / 9,
        "What was learned is set against what was lost. Count the losses alone.": 1 / 9,
        "That is the share of those now wrong, whatever they were before.": 5 / 9,
        "That is the share that is kept. The share that is lost is the rest.": 3 / 5,
        "Here the two lists are exchanged: that is what was learned anew.": 1 / 4,
        "The net loss is divided by what was right. A sentence that is right now makes up for no other.": 1 / 5,
    }  # fmt: skip
    if advice := number_advice("forgotten", forgotten(before, after), 2 / 5, mistakes):
        return not_yet(advice)
    nothing = forgotten([True, True], [True, True])
    if advice := number_advice("forgotten", nothing, 0, {"Where nothing is lost the answer is 0.": 1}):
        return not_yet(advice)
    return right("Seed by seed: two equal shares could still hide one sentence lost for each one won.")
