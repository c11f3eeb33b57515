"""The checks of notebook 08: the weights of the loss, the band of a curve, and a training loop."""

from collections.abc import Callable

import torch

from t2v_helpers.checks import advice, diagnosis
from t2v_helpers.checks.advice import Advice

BANDS = (  # losses, the band, patience, how many windows pass before the curve leaves it
    ([9, 5, 5, 3, 1, 1, 5, 9, 9], 2, 8, 2, 4),
    ([5, 9, 5, 5, 9, 9, 5, 9, 9, 9], 2, 8, 3, 7),
)


def check_08_1(loss_weight: Callable) -> Advice:
    """`loss_weight(abar, target)`: by what the error of eps [b] is multiplied to give that of x_0, v or eps."""
    abar = torch.tensor([0.9, 0.5, 0.2])
    snr = abar / (1 - abar)
    for target, wanted in (("eps", torch.ones(3)), ("x_0", 1 / snr), ("v", 1 / abar)):
        mistakes = {
            "turned": 1 / wanted,
            "no_square": wanted.sqrt(),
            "x_0_everywhere": 1 / snr,
            "v_everywhere": 1 / abar,
            "snr": snr,
            "one_minus": 1 - abar,
        }
        given = loss_weight(abar.clone(), target)
        if isinstance(given, int | float):
            given = torch.full((3,), float(given))
        yield advice.tensor("loss_weight", given, wanted, mistakes, f"Look again at the case {target!r}.")


def check_08_2(leaves: Callable) -> Advice:
    """`leaves(losses, low, high, patience)`: the windows before `patience` in a row are outside; all, if never."""
    for losses, low, high, patience, wanted in BANDS:
        n = len(losses)
        mistakes = {
            "no_patience": next(k for k, x in enumerate(losses) if not low <= x <= high),
            "end_of_run": wanted + patience - 1,
            "after_run": wanted + patience,
            "above_alone": next((k for k in range(n - 1) if min(losses[k : k + patience]) > high), n),
            "not_in_a_row": [k for k, x in enumerate(losses) if not low <= x <= high][patience - 1],
        }
        given = leaves(list(losses), [low] * n, [high] * n, patience)
        yield advice.number("leaves", given, wanted, {name: x for name, x in mistakes.items() if x != wanted})
    for losses in ([5, 5, 5], [5, 9, 5, 9]):
        given = leaves(list(losses), [2] * len(losses), [8] * len(losses), 2)
        if advice.is_missing(given):
            yield "never_leaves"
        yield advice.number("leaves", given, len(losses), {"at_the_start": 0, "minus_one": -1, "last": len(losses) - 1})


def check_08_3(train: Callable) -> Advice:
    """`train(net, clips, steps)`: a generator of (loss, averaged net); it is run on a network that watches it."""
    yield advice.nothing("train", train(diagnosis.Watched(), diagnosis.Material(), 1))
    yield diagnosis.diagnose(train) or None
