"""Where two runs of the same pipeline part: the first stage whose tensors differ is where to look for a mistake."""

from collections.abc import Mapping

import torch
from torch import Tensor

from t2v_helpers.core import checking

ROUNDING = 1e-3  # of the largest value: two machines differ by less, a mistake by more


def first_apart(right: Mapping[str, Tensor], wrong: Mapping[str, Tensor]) -> str | None:
    """The first stage of `right` at which `wrong` differs, None where all agree.

    Stages are in the order of computing. They differ where one is missing or of another shape, where a value is not
    finite in one alone, or where the largest difference exceeds ROUNDING times the largest finite value of `right`.
    ValueError: not mappings, no stages.
    """
    for name, notes in (("right", right), ("wrong", wrong)):
        checking.kind(name, notes, Mapping, "a dict of tensors, a stage each")
    if not right:
        raise ValueError("right is empty: note at least one stage.")
    return next((stage for stage, x in right.items() if _differ(x, wrong.get(stage))), None)


def _differ(right: Tensor, wrong: Tensor | None) -> bool:
    if wrong is None or right.shape != wrong.shape:
        return True
    a, b = right.double(), wrong.double()
    finite = a.isfinite()
    if not torch.equal(finite, b.isfinite()):
        return True
    off = (a - b)[finite].abs()
    return bool(off.numel() and off.max() > ROUNDING * a[finite].abs().max())
