"""What a check says: verdicts, and the advice that fits a mistake best."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Verdict:
    """What a check found: `ok`, and one or two sentences for the learner."""

    ok: bool
    word: str

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return ("Right. " if self.ok else "Not yet. ") + self.word


def right(word: str) -> Verdict:
    """A verdict for a right answer."""
    return Verdict(True, word)


def not_yet(word: str) -> Verdict:
    """A verdict for an answer that is missing or wrong."""
    return Verdict(False, word)


def is_missing(value: object) -> bool:
    """Whether `value` is what a stub leaves behind: None or `...`."""
    return value is None or value is ...


def nothing_from(name: str) -> str:
    """The advice to somebody whose function gave nothing back."""
    return f"{name} gave back nothing. Write its body, and end it with `return`."


def tensor_advice(name: str, given: object, wanted: Tensor, mistakes: dict[str, Tensor], otherwise: str) -> str | None:
    """None where `given` equals `wanted`; else the advice that fits best.

    mistakes maps advice to the tensor [same shape as wanted] that this mistake leads to.
    """
    if is_missing(given):
        return nothing_from(name)
    if not isinstance(given, Tensor):
        return f"{name} gave back a {type(given).__name__}; a tensor of shape {list(wanted.shape)} is wanted."
    if given.shape != wanted.shape:
        return f"{name} gave back the shape {list(given.shape)}; {list(wanted.shape)} is wanted."
    if not given.isfinite().all():
        return f"{name} gave back NaN or infinity. Is there the root of a number below 0? Are two arguments exchanged?"
    if close(given, wanted):
        return None
    return next((advice for advice, wrong in mistakes.items() if close(given, wrong)), otherwise)


def close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape are equal but for rounding."""
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def noises(count: int) -> list[Tensor]:
    """So many noises [2 4 3 5 5], axes [b c f h w], the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 4, 3, 5, 5, generator=generator) for _ in range(count)]  # each [b c f h w]


def number_advice(name: str, given: object, wanted: float, mistakes: dict[str, float]) -> str | None:
    """None where `given` is the number `wanted`; else the advice that fits best. mistakes: advice -> its number."""
    if is_missing(given):
        return nothing_from(name)
    if not isinstance(given, Real) or isinstance(given, bool):
        return f"{name} gave back a {type(given).__name__}; a number is wanted."
    if np.isclose(float(given), wanted):
        return None
    near = (advice for advice, wrong in mistakes.items() if np.isclose(float(given), wrong))
    return next(near, f"{name} gave {given:g} where {wanted:g} is right.")
