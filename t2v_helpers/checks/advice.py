"""How an answer is judged: verdicts, and the advice that fits a mistake best.

A check is written as a generator: it yields the advice of each trial, None where the trial finds nothing wrong. The
first advice ends it. Advice is a sentence, or the name of one that advice.json has for this exercise; "right" there is
said of a right answer, unless the check returns another word.

    def check_05_9(half: Callable) -> Advice:
        \"\"\"`half(x)`: x / 2.\"\"\"
        yield advice.number("half", half(3), 1.5, {"doubled": 6})

    "05_9": {"doubled": "That is the double.", "right": "Now halve it again."}
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2v_helpers.core import files, paths

Advice = Generator[str | None, None, str | None]
TEXTS = files.read_json(paths.PACKAGE / "checks" / "advice.json")  # exercise -> name -> text
VIDEO = (2, 4, 3, 5, 5)  # [b c f h w]


@dataclass(frozen=True)
class Verdict:
    """What a check found: `ok`, and one or two sentences for the learner."""

    ok: bool
    word: str

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return ("Right. " if self.ok else "Not yet. ") + self.word


def judge(check: Callable[[Any], Advice]) -> Callable[[Any], Verdict]:
    """The generator `check` as a function that gives its Verdict on an answer."""
    texts = TEXTS.get(check.__name__.removeprefix("check_"), {})

    @wraps(check)
    def judged(answer) -> Verdict:
        trials = check(answer)
        try:
            while not (advice := next(trials)):
                pass
        except StopIteration as done:
            return Verdict(True, done.value or texts["right"])
        return Verdict(False, advice if " " in advice else texts[advice])

    return judged


def is_missing(value: object) -> bool:
    """Whether `value` is what a stub leaves behind: None or `...`."""
    return value is None or value is ...


def nothing(name: str, given: object = None) -> str | None:
    """The advice to somebody whose function gave nothing back; None where `given` is something."""
    return f"{name} gave back nothing. Write its body, and end it with `return`." if is_missing(given) else None


def plain(value: object) -> Any:
    """The number in a tensor or an array of one, as Python's own; anything else as it is."""
    one = isinstance(value, Tensor | np.ndarray | np.generic) and len(value.reshape(-1)) == 1
    return value.item() if one else value


def kind(name: str, given: object, wanted: type, words: str) -> str | None:
    """None where `given` is of that kind (a bool is no number); `words` say which: "a number"."""
    if is_missing(given):
        return nothing(name)
    if not isinstance(given, wanted) or isinstance(given, bool):
        return f"{name} gave back a {type(given).__name__}; {words} is wanted."
    return None


def fitting(
    given: Any, mistakes: Mapping[str, Any], otherwise: str = "otherwise", close: Callable = np.allclose
) -> str:
    """The advice of the first mistake that leads to `given`; `otherwise` where none does."""
    return next((advice for advice, wrong in mistakes.items() if close(given, wrong)), otherwise)


def tensor(
    name: str, given: object, wanted: Tensor, mistakes: dict[str, Tensor], otherwise: str = "otherwise"
) -> str | None:
    """None where `given` equals `wanted`; else the advice that fits best.

    mistakes maps advice to the tensor [same shape as wanted] that this mistake leads to.
    """
    if found := kind(name, given, Tensor, f"a tensor of shape {list(wanted.shape)}"):
        return found
    if given.shape != wanted.shape:
        return f"{name} gave back the shape {list(given.shape)}; {list(wanted.shape)} is wanted."
    if not given.isfinite().all():
        return f"{name} gave back NaN or infinity. Is there the root of a number below 0? Are two arguments exchanged?"
    return None if close(given, wanted) else fitting(given, mistakes, otherwise, close)


def number(name: str, given: object, wanted: float, mistakes: dict[str, float], otherwise: str = "") -> str | None:
    """None where `given` is the number `wanted`; else the advice that fits best. mistakes: advice -> its number."""
    given = plain(given)
    if found := kind(name, given, Real, "a number"):
        return found
    otherwise = otherwise or f"{name} gave {given:g} where {wanted:g} is right."
    return None if np.isclose(given, wanted) else fitting(given, mistakes, otherwise, np.isclose)


def close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape are equal but for rounding."""
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def noises(*shapes: Sequence[int], seed: int = 0) -> list[Tensor]:
    """Noise of each shape, drawn one after another and the same at every call."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(tuple(shape), generator=generator) for shape in shapes]
