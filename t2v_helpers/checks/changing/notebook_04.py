"""The checks of notebook 04: what does the model know?"""

from collections.abc import Callable

import torch

from t2v_helpers.checks.advice import Advice, close, noises, number_advice, tensor_advice

SEEN = (  # with the word, without it, the word
    (["moon", "moon", "lake", "moon"], ["lake", "moon", "lake", "lake", "beach"], "moon"),
    (["lake", "beach"], ["beach", "beach", "lake", "beach", "beach"], "beach"),
)


def check_04_1(effect: Callable) -> Advice:
    """`effect(seen_with, seen_without, word)`: the difference of two shares."""
    for seen_with, seen_without, word in SEEN:
        share, base = (seen.count(word) / len(seen) for seen in (seen_with, seen_without))
        mistakes = {
            "That is the share with the word alone. What comes without it has to be taken off.": share,
            "That is the other way round: *with* minus *without*.": base - share,
            "That is a difference of counts. The lists differ in length: take shares.":
                seen_with.count(word) - seen_without.count(word),
            "You divide both counts by one length. Each list has a length of its own.":
                (seen_with.count(word) - seen_without.count(word)) / len(seen_with),
            "That is a quotient. It has no value where the word never comes by itself; take the difference.":
                share / base,
            "That asks whether the word comes at all. How often it comes counts: take shares.":
                float(word in seen_with) - float(word in seen_without),
            "You divide by the share without the word. E is the difference alone.": (share - base) / base,
            "Those are percent. Shares lie between 0 and 1.": 100 * (share - base),
        }  # fmt: skip
        if share < base:  # the one who turned it round was told so at the pair before
            mistakes = {"An effect may be below 0: a word can make its label rarer. Keep the sign.": base - share}
        given = effect(list(seen_with), list(seen_without), word)
        yield number_advice("effect", given, share - base, mistakes)
    return "A word that is read as often without being said has no effect, however often it is read."


def check_04_2(swap_row: Callable) -> Advice:
    """`swap_row(text_a, text_b, row)`: text_a [2 t d] with one row of its prompt from text_b."""
    a, b = noises((2, 6, 4), (2, 6, 4))
    before, row = a.clone(), 1  # 1, for then text_a[row] is no error, but the whole prompt
    wanted, both, whole, after, other = (a.clone() for _ in range(5))
    wanted[1, row], both[:, row], whole[1] = b[1, row], b[:, row], b[1]
    after[1, row:], other[0, row] = b[1, row:], b[0, row]
    column = a.clone()
    column[1, :, row] = b[1, :, row]
    mistakes = {
        "You changed the negative prompt, too. Only the second half, number 1, is the prompt.": both,
        "That is the negative prompt's half, number 0. The prompt is number 1.": other,
        "The whole prompt is now B's. Only one row is wanted.": whole,
        "The rows after it came along. Only the one row is wanted.": after,
        "You swapped one number in every row. The axes are [2 t d]: the row is on axis 1.": column,
        "Nothing has changed. Put the row of text_b into a copy of text_a.": before,
        "Those are the vectors of B with a row of A: it should be the other way round.":
            torch.stack([b[0], torch.cat([b[1, :row], a[1, row:row + 1], b[1, row + 1:]])]),
    }  # fmt: skip
    otherwise = "In the prompt, number 1, row `row` must be text_b's, and each other row text_a's."
    yield tensor_advice("swap_row", swap_row(a, b, row), wanted, mistakes, otherwise)
    if not close(a, before):
        yield "The answer is right, but text_a itself was changed: work on text_a.clone()."
    return "Row by row you can ask what each token carries."


def check_04_3(word_map: Callable) -> Advice:
    """`word_map(weights, places)`: weights [b f h w t] of one layer -> the word's map [f h w]."""
    weights = noises((2, 5, 6, 8, 7))[0].softmax(dim=-1)  # [b f h w t]
    places = [2, 4]
    mistakes = {
        "That is the negative prompt's half. The prompt is the second one, number 1 (or -1).":
            weights[0][..., places].mean(-1),
        "That is the mean over both halves. Only the second one has the prompt.": weights[..., places].mean(-1).mean(0),
        "That is the sum over the word's tokens; the mean is wanted, or long words look brighter.":
            weights[1][..., places].sum(-1),
        "That is the word's first token alone. A word may have several.": weights[1][..., places[0]],
        "That is the word's last token alone. A word may have several.": weights[1][..., places[-1]],
        "That is the largest over the word's tokens; the mean is wanted.": weights[1][..., places].amax(-1),
        "That is the mean over all tokens, which is the same everywhere: take those of the word.": weights[1].mean(-1),
        "These are all tokens from the first to the last place. Take those in the list.": weights[1][..., 2:5].mean(-1),
    }  # fmt: skip
    given, wanted = word_map(weights.clone(), list(places)), weights[1][..., places].mean(-1)
    otherwise = "Take the second half of the batch, then the columns in `places` of the last axis, then their mean."
    yield tensor_advice("word_map", given, wanted, mistakes, otherwise)
    return "That is what `Maps.of_word` does for each layer and call, before it takes the mean of all."
