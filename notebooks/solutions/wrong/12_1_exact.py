# helpful word: rounding alone
import torch


def first_apart(right, wrong):
    return next((name for name in right if not torch.equal(right[name], wrong[name])), None)
