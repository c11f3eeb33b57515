"""The checks of notebooks 04 to 07: changing its words, knobs, parts and weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from scipy import stats

from t2v_helpers.checks import advice
from t2v_helpers.checks.advice import Advice
from t2v_helpers.core.checking import shown

SEEN = (  # with the word, without it, the word
    (["moon", "moon", "lake", "moon"], ["lake", "moon", "lake", "lake", "beach"], "moon"),
    (["lake", "beach"], ["beach", "beach", "lake", "beach", "beach"], "beach"),
)


def check_04_1(effect: Callable) -> Advice:
    """`effect(seen_with, seen_without, word)`: the difference of two shares."""
    for seen_with, seen_without, word in SEEN:
        more = seen_with.count(word) - seen_without.count(word)
        share, base = (seen.count(word) / len(seen) for seen in (seen_with, seen_without))
        mistakes = {
            "no_control": share,
            "turned": base - share,
            "counts": more,
            "one_length": more / len(seen_with),
            "quotient": share / base,
            "at_all": float(word in seen_with) - float(word in seen_without),
            "relative": (share - base) / base,
            "percent": 100 * (share - base),
        }
        if share < base:  # the one who turned it round was told so at the pair before
            mistakes = {"no_sign": base - share}
        given = effect(list(seen_with), list(seen_without), word)
        yield advice.number("effect", given, share - base, mistakes)


def check_04_2(swap_row: Callable) -> Advice:
    """`swap_row(text_a, text_b, row)`: text_a [2 t d] with one row of its prompt from text_b."""
    for row in (1, 3):  # first 1, for then text_a[row] is no error, but the whole prompt
        yield from _swapped_advice(swap_row, row)


def _swapped_advice(swap_row: Callable, row: int) -> Advice:
    a, b = advice.noises((2, 6, 4), (2, 6, 4))
    before = a.clone()
    wanted, both, whole, after, other = (a.clone() for _ in range(5))
    wanted[1, row], both[:, row], whole[1] = b[1, row], b[:, row], b[1]
    after[1, row:], other[0, row] = b[1, row:], b[0, row]
    column = a.clone()
    column[1, :, row] = b[1, :, row]  # d is 4, so rows 0 to 3 alone
    mistakes = {
        "both_halves": both,
        "negative": other,
        "whole": whole,
        "rows_after": after,
        "column": column,
        "nothing": before,
        "turned": torch.stack([b[0], torch.cat([b[1, :row], a[1, row : row + 1], b[1, row + 1 :]])]),
    }
    try:
        given = swap_row(a, b, row)
    except IndexError:  # the row was taken for a prompt's number
        given = both * 0
    yield advice.tensor("swap_row", given, wanted, mistakes)
    if not advice.close(a, before):
        yield "The answer is right, but text_a itself was changed: work on text_a.clone()."


def check_04_3(word_map: Callable) -> Advice:
    """`word_map(weights, tokens)`: weights [b f h w t] of one layer -> the word's map [f h w]."""
    weights = advice.noises((2, 5, 6, 8, 7))[0].softmax(dim=-1)  # [b f h w t]
    tokens = [2, 4]
    mistakes = {
        "negative": weights[0][..., tokens].mean(-1),
        "both_halves": weights[..., tokens].mean(-1).mean(0),
        "summed": weights[1][..., tokens].sum(-1),
        "first_token": weights[1][..., tokens[0]],
        "last_token": weights[1][..., tokens[-1]],
        "largest": weights[1][..., tokens].amax(-1),
        "all_tokens": weights[1].mean(-1),
        "span": weights[1][..., 2:5].mean(-1),
    }
    given, wanted = word_map(weights.clone(), list(tokens)), weights[1][..., tokens].mean(-1)
    yield advice.tensor("word_map", given, wanted, mistakes)


def check_05_1(video_flops: Callable) -> Advice:
    """`video_flops(steps, guidance, frames, unet, vae)`: unet for a guided step of all frames, vae for one frame."""
    for steps, guidance, frames in ((25, 9.0, 16), (10, 1.0, 4), (10, 2.0, 4), (10, 1.5, 4)):
        unet, vae = 7.0 * frames, 3.0
        half = 0.5 if guidance == 1 else 1.0
        wanted = steps * half * unet + frames * vae
        always_half = f"At {guidance:g} both halves are needed. Only at guidance 1 is one left out."
        mistakes = {  # some are the right answer where guidance is, or is not, 1
            "always_both": steps * unet + frames * vae,
            "one_frame": steps * half * unet + vae,
            "decoded_each_step": steps * (half * unet + frames * vae),
            "no_decoder": steps * half * unet,
            "frames_twice": steps * half * unet * frames + frames * vae,
            "halves_twice": 2 * steps * half * unet + frames * vae,
            always_half: steps * unet / 2 + frames * vae,
            "half_decoder": half * (steps * unet + frames * vae),
            "multiplied": steps * guidance * unet + frames * vae,
        }
        yield advice.number("video_flops", video_flops(steps, guidance, frames, unet, vae), wanted, mistakes)


def check_05_2(attention_flops: Callable) -> Advice:
    """`attention_flops(frames, pixels, channels) -> (temporal, spatial)`: scores and sums, of one layer each."""
    for f, n, c in ((16, 64, 8), (5, 9, 4)):
        temporal, spatial = 4 * n * f * f * c, 4 * f * n * n * c
        mistakes = {
            "swapped": (spatial, temporal),
            "half": (temporal / 2, spatial / 2),
            "one_sequence": (4 * f * f * c, 4 * n * n * c),
            "linear": (4 * n * f * c, 4 * f * n * c),
        }
        given = attention_flops(f, n, c)
        if advice.is_missing(given):
            yield advice.nothing("attention_flops", given) + " Two numbers are wanted: temporal, spatial."
        if np.shape(given) != (2,):
            yield f"attention_flops gave {shown(given)}; two numbers are wanted: `return temporal, spatial`."
        if not np.allclose([*map(float, given)], (temporal, spatial)):
            yield advice.fitting([*given], mistakes)


def check_05_3(mcnemar: Callable) -> Advice:
    """`mcnemar(a, b)`: how often chance alone splits the seeds that a and b read differently at least as unevenly."""
    for lost, won, same in ((6, 0, 26), (7, 2, 9), (1, 8, 5), (3, 3, 4), (0, 0, 7)):
        a = [True] * lost + [False] * won + [i % 2 == 0 for i in range(same)]
        b = [False] * lost + [True] * won + [i % 2 == 0 for i in range(same)]
        fewer, changed = min(lost, won), lost + won
        sided = stats.binom.cdf(fewer, changed, 0.5)
        mistakes = {
            "uncapped": 2 * sided,
            "one_sided": sided,
            "point": min(1, 2 * stats.binom.pmf(fewer, changed, 0.5)),
            "all_seeds": min(1, 2 * stats.binom.cdf(fewer, len(a), 0.5)),
            "not_smaller": min(1, 2 * stats.binom.cdf(max(lost, won), changed, 0.5)),
            "shares": (sum(a) - sum(b)) / len(a),
        }
        otherwise = f"With {lost} lost and {won} won of {len(a)} seeds, p is {min(1, 2 * sided):.4f}."
        yield advice.number("mcnemar", mcnemar(a, b), min(1, 2 * sided), mistakes, otherwise)


@dataclass(eq=False)  # a copy is another part
class _Part:
    """A stand-in for a part of a pipeline."""

    name: str

    def __repr__(self) -> str:
        return f"the {self.name} part"


def check_06_1(borrowed: Callable) -> Advice:
    """`borrowed(pipe, name, part)`: a context manager; the very same old part is back at the end, always."""
    old, new = _Part("old"), _Part("new")
    pipe = SimpleNamespace(vae=old, unet=_Part("own"))
    manager = borrowed(pipe, "vae", new)
    if advice.is_missing(manager):
        yield "borrowed gave back nothing. Keep the old part, put in the new one, `yield pipe`, and put back."
    if not hasattr(manager, "__enter__"):
        yield f"borrowed gave a {type(manager).__name__}: is `@contextmanager` above it, and a `yield` in it?"
    if not hasattr(getattr(manager, "gen", iter(())), "__next__"):  # @contextmanager above a plain function
        yield "There is no `yield` in borrowed. Write `yield pipe`, not `return`, where the block shall run."
    with manager as inside:
        seen = pipe.vae
    if seen is not new:
        yield f"Inside the `with`, pipe.vae is {shown(seen)}, where {new!r} is wanted: setattr(pipe, name, part)."
    if inside is not pipe:
        yield f"`with ... as pipe` gets {shown(inside)}: yield the pipeline itself."
    if getattr(pipe.vae, "name", None) == "old" and pipe.vae is not old:
        yield "After the `with` there is a copy of the old part. Put back the very same one: keep it, no copy."
    if pipe.vae is not old:
        yield (
            f"After the `with`, pipe.vae is {shown(pipe.vae)}. Keep the old one *before* the new one goes in, "
            "and put it back in `finally`, which runs with and without an error."
        )
    yield _error_advice(borrowed, pipe)


def _error_advice(borrowed: Callable, pipe: SimpleNamespace) -> str | None:
    """None where an error of the block goes on, and the part is put back all the same."""
    own, new = pipe.unet, _Part("new")
    try:
        with borrowed(pipe, "unet", new):
            seen = pipe.unet
            raise KeyError("inside")
    except KeyError:
        if seen is own:
            return "It works for name 'vae', but not for 'unet': use the name that is given."
        if pipe.unet is own:
            return None
        return "After an error the new part is still there. What stands in `finally` runs in any case."
    return "You swallow the error of the block: nobody would learn of it. `try ... finally` lets it through."


def check_06_2(least_squares: Callable) -> Advice:
    """`least_squares(x, y, ridge)` -> weight [d e], bias [e]: x @ weight + bias is nearest to y."""
    x, y = advice.noises((40, 3), (40, 2))
    y = y + x @ torch.tensor([[1.0, 0.0], [-2.0, 3.0], [0.0, 1.0]]) + 4
    for ridge in (1e-6, 0.1):
        given = least_squares(x.clone(), y.clone(), ridge)
        yield _pair_advice(given)
        weight, bias = (one.float() if isinstance(one, torch.Tensor) else one for one in given)
        mistakes = _fits(x, y, ridge)
        wanted = mistakes.pop("right")
        yield advice.tensor("weight", weight, wanted[:-1], {name: w[:-1] for name, w in mistakes.items()})
        yield advice.tensor("bias", bias, wanted[-1], {name: w[-1] for name, w in mistakes.items()})


def _pair_advice(given: object) -> str | None:
    """None where an answer is a weight and a bias."""
    if advice.is_missing(given):
        return advice.nothing("least_squares", given) + " Two tensors are wanted: weight, bias."
    if not isinstance(given, tuple | list) or len(given) != 2:
        return f"least_squares gave back a {type(given).__name__}; two tensors are wanted: `return weight, bias`."
    return None


def _fits(x: torch.Tensor, y: torch.Tensor, ridge: float) -> dict[str, torch.Tensor]:
    """The weights [d+1 e], the bias last, of the right fit and of each mistake."""
    ones = torch.ones_like(x[:, :1])
    ends, begins = torch.cat([x, ones], 1), torch.cat([ones, x], 1)
    all_alike, n = torch.eye(4), len(x)
    no_bias = torch.diag(torch.tensor([1.0, 1, 1, 0]))

    def solve(rows: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
        return torch.linalg.solve(rows.T @ rows + penalty, rows.T @ y)

    seen = {  # a tiny ridge hides them
        "no_ridge": solve(ends, 0 * all_alike),
        "no_n": solve(ends, ridge * all_alike),
        "free_bias": solve(ends, n * ridge * no_bias),
    }
    return {
        "right": solve(ends, n * ridge * all_alike),
        "through_origin": torch.cat([solve(x, n * ridge * torch.eye(3)), torch.zeros(1, y.shape[1])]),
        "ones_first": solve(begins, n * ridge * all_alike),
        **(seen if ridge > 1e-3 else {}),
    }


def check_06_3(find_order: Callable) -> Advice:
    """`find_order(z, other)`: the list with other[:, k] = z[:, order[k]], for latents [n c] of the same pictures."""
    order = [2, 0, 3, 1, 5, 4]
    (z,), (noise,) = advice.noises((200, 6)), advice.noises((200, 6), seed=1)
    z = z * torch.tensor([1.0, 3, 1, 2, 1, 1]) + torch.arange(6).flip(0)  # [n c]
    sizes = torch.tensor([0.1, 0.5, 0.2, 0.3, 0.4, 0.6])
    given = find_order(z, sizes * z[:, order] + 0.01 * noise)
    given = given.tolist() if hasattr(given, "tolist") else given
    yield advice.nothing("find_order", given) or _no_order(given)
    mistakes = {
        "way_back": [order.index(k) for k in range(6)],
        "as_they_came": list(range(6)),
    }
    otherwise = f"find_order gave {list(given)} where {order} is right: channels that belong together correlate."
    yield None if list(given) == order else advice.fitting(given, mistakes, otherwise)


def _no_order(given: object) -> str | None:
    """Advice where `given` does not hold each of the channels 0 to 5 once, else None."""
    otherwise = (
        f"find_order gave {shown(given)}; each of the channels 0 to 5 is wanted once. Compare by correlation: "
        "a VAE may give its channels another size."
    )
    if not isinstance(given, Sequence):
        return otherwise
    if any(isinstance(row, Sequence) for row in given):
        return "find_order gave the whole matrix. Give for each column the row of its largest number: argmax(dim=0)."
    if len(given) != 6:
        return (
            f"find_order gave {len(given)} entries for 6 channels. corrcoef compares *rows*, and here the channels are "
            "columns: turn the tensor with .T first."
        )
    if list(given) == list(range(6, 12)):
        return "Each channel of other found itself. Take only the part that sets z against other: [:c, c:]."
    return None if sorted(given) == list(range(6)) else otherwise


def check_07_2(read_with: Callable) -> Advice:
    """read_with(table [v d], tokens [t], learned, change [n d]) -> [t d]: rows of the table, the learned ones moved."""
    table, change = advice.noises((7, 4), (2, 4))
    tokens, learned = torch.tensor([3, 1, 5, 3, 0, 6]), [5, 3]
    frozen = table.clone()
    given = read_with(frozen, tokens.clone(), list(learned), change.clone())
    if not advice.close(frozen, table):
        yield "overwritten"
    if isinstance(given, torch.Tensor) and given.shape == table.shape:
        yield "That is the whole table. Wanted are the rows of these tokens, [t d]: table[tokens]."
    old, at = table[tokens], (tokens[:, None] == torch.tensor(learned)).float()  # [t d], [t n]
    first = at * (at.cumsum(0) == 1)
    mistakes = {
        "no_change": old,
        "replaced": torch.where(at.any(1, keepdim=True), at @ change, old),
        "by_position": old + torch.eye(len(tokens))[:, :2] @ change,
        "once": old + first @ change,
        "one_change": old + at.sum(1, keepdim=True) * change[0],
        "exchanged": old + at @ change.flip(0),
        "everywhere": old + change.sum(0),
    }
    yield advice.tensor("read_with", given, old + at @ change, mistakes)


def check_07_3(forgotten: Callable) -> Advice:
    """forgotten(before, after): of the sentences that were right before, the share that is wrong now."""
    lost, kept, won, still = 4, 7, 2, 1  # no two of the mistakes give the same number
    before = [True, True, False, True, True, True, True, False, True, True, True, False, True, True]
    after = [True, False, True, True, False, True, True, False, False, True, True, True, False, True]
    mistakes = {
        "of_all": lost / 14,
        "net": (lost - won) / 14,
        "wrong_now": (lost + still) / 14,
        "all_wrong_now": (lost + still) / (lost + kept),
        "kept": kept / (lost + kept),
        "exchanged": won / (won + kept),
        "net_of_right": (lost - won) / (lost + kept),
        "count": lost,
        "of_wrong_now": lost / (lost + still),
        "won_too": (lost + won) / 14,
        "won_of_right": (lost + won) / (lost + kept),
        "of_right_now": lost / (won + kept),
        "learned": won / (won + still),
    }
    yield advice.number("forgotten", forgotten(before, after), lost / (lost + kept), mistakes)
    nothing = forgotten([True, True], [True, True])
    yield advice.number("forgotten", nothing, 0, {"nothing_lost": 1})
