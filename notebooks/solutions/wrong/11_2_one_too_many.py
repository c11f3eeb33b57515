# helpful word: one draw too many
import torch


def start_of(k, shape):
    generator = torch.Generator().manual_seed(1234)
    for _ in range(k):
        torch.randn(shape, generator=generator)
    return torch.randn(shape, generator=generator)
