# helpful word: one of yours
import torch


def start_of(k, shape):
    torch.manual_seed(1234)
    return [torch.randn(shape) for _ in range(k)][-1]
