import torch


def first_apart(right, wrong):
    """The first stage that differs in shape, in what is finite, or beyond rounding."""
    for name, x in right.items():
        if x.shape != wrong[name].shape:
            return name
        a, b = x.double(), wrong[name].double()
        finite = a.isfinite()
        if not torch.equal(finite, b.isfinite()):
            return name
        if (a - b)[finite].abs().max() > 1e-3 * a[finite].abs().max():
            return name
    return None
