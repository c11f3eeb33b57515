"""The checks of what is trained: a LoRA layer (07), loss, curve and loop (08), what a student is taught (13)."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from t2v_helpers.checks import advice, diagnosis
from t2v_helpers.checks.advice import Advice
from t2v_helpers.diffusion import noise

BANDS = (  # losses, the band, patience, how many windows pass before the curve leaves it
    ([9, 5, 5, 3, 1, 1, 5, 9, 9], 2, 8, 2, 4),
    ([5, 9, 5, 5, 9, 9, 5, 9, 9, 9], 2, 8, 3, 7),
)


def check_07_1(layer: Callable) -> Advice:
    """`LoRALinear(base, rank, alpha)`: y = W x + (alpha / r) B A x; `merged()` is the one matrix [out in]."""
    yield _lora_parts_advice(layer)
    for rank, out in ((6, 6), (2, 4), (3, 4)):  # first all square, where even a product in the wrong order has a shape
        base, alpha = nn.Linear(6, out), 5.0
        w, a, b, x = advice.noises((out, 6), (rank, 6), (out, rank), (6, 6))
        base.weight.data = w.clone()
        mine = layer(base, rank, alpha)
        mine.A.data, mine.B.data = a.clone(), b.clone()
        with torch.enable_grad():  # a notebook switches it off
            y = mine(x)
        with torch.no_grad():
            matrix = mine.merged()
        if not advice.close(base.weight, w):
            yield "overwritten"
        wanted, wrong = w + alpha / rank * b @ a, _lora_mistakes(w, a, b, alpha)
        outputs = {name: x @ m.T + base.bias for name, m in wrong.items()} | {
            "no_bias": x @ wanted.T,
            "change_alone": x @ (wanted - w).T,
            "w_scaled": alpha / rank * (x @ (w + b @ a).T + base.bias),
            **({"columns": x @ w.T + base.bias + alpha / rank * b @ a @ x} if rank == 6 else {}),
        }
        otherwise = f"For rank {rank} it is W + (alpha / r) B A, with r the number of rows of A."
        yield advice.tensor("forward", y, x @ wanted.T + base.bias, outputs, otherwise)
        yield advice.tensor("merged", matrix, wanted, wrong, otherwise)
        if not y.requires_grad:
            yield "no_gradient"
    yield _last_axis_advice(mine, x)


@torch.no_grad()
def _last_axis_advice(mine: nn.Module, x: Tensor) -> str | None:
    """Advice on inputs with one axis more, as the UNet's have, where those of one matrix went well."""
    try:
        given = mine(x.expand(2, *x.shape))
    except RuntimeError:  # the shapes do not fit
        return "last_axis"
    return advice.tensor("forward", given, mine(x).expand(2, -1, -1), {}, "last_axis")


def _lora_parts_advice(layer: Callable) -> str | None:
    """Advice on a new layer's parameters, None where they are as they should be."""
    base = nn.Linear(6, 4)
    mine = layer(base, 2, 5.0)
    for name, shape in (("A", [2, 6]), ("B", [4, 2])):
        made = getattr(mine, name, None)
        if advice.is_missing(made):
            return f"The layer has no {name} yet. Make the parameters self.A [r in] and self.B [out r] in __init__."
        if not isinstance(made, nn.Parameter):
            return f"{name} is a {type(made).__name__}, which no optimizer would find. Wrap it in torch.nn.Parameter."
        if list(made.shape) != shape:
            return f"With 6 inputs, 4 outputs and rank 2, {name} has the shape {list(made.shape)}; {shape} is wanted."
    if any(p.requires_grad for p in base.parameters()):
        return "base_learns"
    if mine.B.any():
        return "b_not_zero"
    same = torch.equal(mine.A[0], mine.A[1])
    return None if mine.A.any() and not same else "rows_alike" if mine.A.any() else "both_zero"


def _lora_mistakes(w: Tensor, a: Tensor, b: Tensor, alpha: float) -> dict[str, Tensor]:
    """Mistake -> the matrix [out in] that it leads to."""
    change, scale = b @ a, alpha / len(a)
    square = {"exchanged": w + scale * a @ b, "turned": w + scale * change.T} if len(a) == len(w) else {}
    return {
        "no_scale": w + change,
        "no_rank": w + alpha * change,
        "upside_down": w + change / scale,
        "change_alone": scale * change,
        "nothing_added": w,
        "by_inputs": w + alpha / w.shape[1] * change,
        "by_outputs": w + alpha / len(w) * change,
        "w_scaled": scale * (w + change),
        "fixed_rank": w + alpha / 2 * change,
        **square,
    }


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
    given = leaves([5, 5, 5, 1], [4, 2, 1, 0], [6, 4, 3, 2], 2)  # a band that falls, as all do
    yield advice.number("leaves", given, 1, {"one_band": 4})
    for losses in ([5, 5, 5], [5, 9, 5, 9]):
        given = leaves(list(losses), [2] * len(losses), [8] * len(losses), 2)
        if advice.is_missing(given):
            yield "never_leaves"
        yield advice.number("leaves", given, len(losses), {"at_the_start": 0, "minus_one": -1, "last": len(losses) - 1})


def check_08_3(train: Callable) -> Advice:
    """`train(net, clips, steps)`: a generator of (loss, averaged net); it is run on a network that watches it."""
    yield advice.nothing("train", train(diagnosis.Watched(), diagnosis.Material(), 1))
    yield diagnosis.diagnose(train) or None


def check_13_1(one_step: Callable) -> Advice:
    """`one_step(x_t, x_s, abar_t, abar_s)`: the x_0 with which one step of DDIM leads from x_t to x_s."""
    x_t, x_s = advice.noises(advice.VIDEO, advice.VIDEO)
    for abar_t, abar_s in ((0.2, 0.7), (0.01, 0.3), (0.4, 1.0)):
        kept = ((1 - abar_s) / (1 - abar_t)) ** 0.5
        mistakes = {
            "arrival": x_s,
            "signal_alone": x_s / abar_s**0.5,
            "takes_x_t_for_noise": (x_s - (1 - abar_s) ** 0.5 * x_t) / abar_s**0.5,
            "not_divided": x_s - kept * x_t,
            "no_roots": (x_s - kept**2 * x_t) / (abar_s - kept**2 * abar_t),
            "divided_by_s_alone": (x_s - kept * x_t) / abar_s**0.5,
            "sum": (x_s + kept * x_t) / (abar_s**0.5 + kept * abar_t**0.5),
        }
        wanted = noise.x_0_from_step(x_t, x_s, abar_t, abar_s)
        given = one_step(x_t.clone(), x_s.clone(), torch.tensor(abar_t), torch.tensor(abar_s))
        yield advice.tensor("one_step", given, wanted, mistakes)


def check_13_2(consistency_target: Callable) -> Advice:
    """`consistency_target(answer, teacher_step, x_t, t, s)`: what the student's answer at x_t is to be, held still."""
    (x_t,), slope = advice.noises(advice.VIDEO), torch.tensor(0.5, requires_grad=True)

    def answer(x: torch.Tensor, t: int) -> torch.Tensor:
        return slope * x + t / 1000

    def teacher_step(x: torch.Tensor, t: int, s: int) -> torch.Tensor:
        return 0.9 * x + (t - s) / 500

    for t, s in ((799, 599), (199, -1)):
        moved = teacher_step(x_t, t, s)
        given = consistency_target(answer, teacher_step, x_t.clone(), t, s)
        mistakes = {
            "arrival": moved,
            "not_moved": answer(x_t, s),
            "old_time": answer(moved, t),
            "own_answer": answer(x_t, t),
            "asked_at_the_end": answer(moved, s),
        }
        wanted = mistakes.pop("arrival" if s < 0 else "asked_at_the_end")
        yield advice.tensor("consistency_target", given, wanted.detach(), mistakes)
        if given.requires_grad:
            yield "follows"


def check_13_3(variety: Callable) -> Advice:
    """`variety(videos)`: the root mean square difference of two of the videos [n f h w 3], the mean over all pairs."""
    videos = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 6, 3), dtype=np.uint8)
    videos[1] = videos[0] // 2
    x = videos.astype(float)
    pairs = list(combinations(range(len(x)), 2))
    apart = np.array([((x[a] - x[b]) ** 2).mean() for a, b in pairs])
    wrapped = [((videos[a] - videos[b]).astype(float) ** 2).mean() ** 0.5 for a, b in pairs]
    mistakes = {
        "with_itself": 2 * np.sqrt(apart).sum() / len(x) ** 2,
        "no_root": apart.mean(),
        "late_root": apart.mean() ** 0.5,
        "wraps": np.mean(wrapped),
        "absolute": np.mean([np.abs(x[a] - x[b]).mean() for a, b in pairs]),
        "neighbours": np.mean([((x[a] - x[a + 1]) ** 2).mean() ** 0.5 for a in range(len(x) - 1)]),
        "from_the_mean": np.mean([((one - x.mean(0)) ** 2).mean() ** 0.5 for one in x]),
        "along_time": np.mean([(np.diff(one, axis=0) ** 2).mean() ** 0.5 for one in x]),
        "summed": np.sqrt(apart).sum(),
    }
    yield advice.number("variety", variety(videos.copy()), np.sqrt(apart).mean(), mistakes)
    yield advice.number("variety", variety(np.stack([videos[0]] * 3)), 0.0, {}, "same")
