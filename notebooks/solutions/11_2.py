import torch


def start_of(k, shape):
    """The noise that the blog's k-th video starts from, k from 1."""
    generator = torch.Generator().manual_seed(1234)
    for _ in range(k):
        noise = torch.randn(shape, generator=generator)
    return noise
