# helpful word: Another seed is another stream
import torch


def start_of(k, shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1234 + k - 1))
