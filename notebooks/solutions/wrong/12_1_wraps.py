# helpful word: uint8
import torch


def first_apart(right, wrong):
    for name, x in right.items():
        y = wrong[name]
        if x.shape != y.shape or not torch.equal(x.isfinite(), y.isfinite()):
            return name
        if (y - x).max() > 1e-3 * x.max() and x.dtype != torch.uint8:
            return name
        if x.dtype == torch.uint8 and (x - y).float().mean() > 100:
            return name
