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
        "You divide by a side of W. The rank is the short side, the number of rows of A.": w + 3 / 6 * b @ a,
        "W came back scaled, too. alpha / r stands before B A alone.": 1.5 * (w + b @ a),
    }
    otherwise = "It is W + (alpha / r) B A, with r the number of rows of A."
    if advice := tensor_advice("merged", merged(w.clone(), a, b, 3.0), w + 1.5 * b @ a, mistakes, otherwise):
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
        "That is the last layer alone. Add up all of them.": 4 * (32 + 96),
        "The rank is missing: A is r times in, B is out times r.": 64 + 128 + 32 + 96,
        "That counts W, too. W is frozen; only A and B are learned.": 64 * 128 + 32 * 96 + 4 * (64 + 128 + 32 + 96),
        "A is r times in, B is out times r: add them, do not multiply them.": 4 * (64 * 128 + 32 * 96),
        "That counts the matrices twice over: r (in + out) for each layer is all.": 8 * (64 + 128 + 32 + 96),
    }
    if advice := number_advice("lora_parameters", lora_parameters(shapes, 4), 4 * (64 + 128 + 32 + 96), mistakes):
        return not_yet(advice)
    return right("It grows in proportion with the rank, and with the sides of a matrix, not with its area.")


def check_07_3(forgotten: Callable[[Sequence[bool], Sequence[bool]], float]) -> Verdict:
    """forgotten(before, after): of the sentences that were right before, the share that is wrong now."""
    before = [True, True, True, True, False, False, True, False, True, True, True, True, True]
    after = [True, False, True, False, True, False, True, False, True, False, True, False, True]
    mistakes = {
        "You divide by all the sentences. What was wrong before cannot be forgotten: leave it out.": 4 / 13,
        "What was learned is set against what was lost. Count the losses alone.": 3 / 13,
        "That is the share of those now wrong, whatever they were before.": 6 / 13,
        "That is the share that is kept. The share that is lost is the rest.": 6 / 10,
        "Here the two lists are exchanged: that is what was learned anew.": 1 / 7,
        "The net loss is divided by what was right. A sentence that is right now makes up for no other.": 3 / 10,
        "That is a count. Divide it by the number of sentences that were right before.": 4,
        "You divide by those that are wrong now. Divide by those that were right before.": 4 / 6,
        "That counts what was won as well. Count only what was right before and is wrong now.": 5 / 13,
        "You count what was won as lost. Count only what was right before and is wrong now.": 5 / 10,
        "You divide by those that are right now. Divide by those that were right before.": 4 / 7,
        "That is what was learned: of those wrong before, the share that is right now.": 1 / 3,
    }  # fmt: skip
    if advice := number_advice("forgotten", forgotten(before, after), 4 / 10, mistakes):
        return not_yet(advice)
    nothing = forgotten([True, True], [True, True])
    if advice := number_advice("forgotten", nothing, 0, {"Where nothing is lost the answer is 0.": 1}):
        return not_yet(advice)
    return right("Seed by seed: two equal shares could still hide one sentence lost for each one won.")
