# helpful word: from the same generator
import torch


def start_of(k, shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1234))
