"""The checks of notebook 07: how do I add knowledge?"""

from collections.abc import Callable

from t2v_helpers.checks.advice import Advice, noises, number_advice, tensor_advice


def check_07_1(merged: Callable) -> Advice:
    """merged(w [out in], a [r in], b [out r], alpha) is the one matrix that does the work of all three."""
    for rank, alpha in ((2, 5.0), (3, 5.0)):
        w, a, b = noises((6, 6), (rank, 6), (6, rank))
        given = merged(w.clone(), a.clone(), b.clone(), alpha)
        change, scale = b @ a, alpha / rank
        mistakes = {
            "The scale is missing: the change is multiplied by alpha / r, with r the rows of A.": w + change,
            "Alpha is there, but it is to be divided by the rank, the number of rows of A.": w + alpha * change,
            "The scale is upside down: it is alpha / r, not r / alpha.": w + change / scale,
            "Only the change came back. The frozen W belongs to it.": scale * change,
            "The product is turned: x meets A first, so A stands on the right, B A.": w + scale * change.T,
            "You divide by a side of W. The rank is the short side, the number of rows of A.": w + alpha / 6 * change,
            "W came back scaled, too. alpha / r stands before B A alone.": scale * (w + change),
            "It works at rank 2 only. The rank is not fixed: read it off A, as the number of its rows.":
                w + alpha / 2 * change,
        }  # fmt: skip
        otherwise = f"For rank {rank} it is W + (alpha / r) B A, with r the number of rows of A."
        yield tensor_advice("merged", given, w + scale * change, mistakes, otherwise)
    return "One matrix again: whoever runs the merged model pays nothing for what it learned."


def check_07_2(lora_parameters: Callable) -> Advice:
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
    yield number_advice("lora_parameters", lora_parameters(shapes, 4), 4 * (64 + 128 + 32 + 96), mistakes)
    return "It grows in proportion with the rank, and with the sides of a matrix, not with its area."


def check_07_3(forgotten: Callable) -> Advice:
    """forgotten(before, after): of the sentences that were right before, the share that is wrong now."""
    lost, kept, won, still = 4, 7, 2, 1  # no two of the mistakes give the same number
    before = [True, True, False, True, True, True, True, False, True, True, True, False, True, True]
    after = [True, False, True, True, False, True, True, False, False, True, True, True, False, True]
    mistakes = {
        "You divide by all the sentences. What was wrong before cannot be forgotten: leave it out.": lost / 14,
        "What was learned is set against what was lost. Count the losses alone.": (lost - won) / 14,
        "That is the share of those now wrong, whatever they were before.": (lost + still) / 14,
        "You count all that are wrong now. Leave out what was wrong before, too: it is not lost.":
            (lost + still) / (lost + kept),
        "That is the share that is kept. The share that is lost is the rest.": kept / (lost + kept),
        "Here the two lists are exchanged: that is what was learned anew.": won / (won + kept),
        "The net loss is divided by what was right. A sentence that is right now makes up for no other.":
            (lost - won) / (lost + kept),
        "That is a count. Divide it by the number of sentences that were right before.": lost,
        "You divide by those that are wrong now. Divide by those that were right before.": lost / (lost + still),
        "That counts what was won as well. Count only what was right before and is wrong now.": (lost + won) / 14,
        "You count what was won as lost. Count only what was right before and is wrong now.":
            (lost + won) / (lost + kept),
        "You divide by those that are right now. Divide by those that were right before.": lost / (won + kept),
        "That is what was learned: of those wrong before, the share that is right now.": won / (won + still),
    }  # fmt: skip
    yield number_advice("forgotten", forgotten(before, after), lost / (lost + kept), mistakes)
    nothing = forgotten([True, True], [True, True])
    yield number_advice("forgotten", nothing, 0, {"Where nothing is lost the answer is 0.": 1})
    return "Seed by seed: two equal shares could still hide one sentence lost for each one won."
