"""Noise that can be made again: one generator per sample, so sample i depends on its own seed alone.

The generators live on the CPU, so that a seed means the same noise on every machine.
"""

from collections.abc import Callable, Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

MAX_SEED = 2**32 - 1  # torch's CPU generator reads 32 bits: a larger seed would silently repeat a smaller one


def check_seed(seed: int) -> int:
    """Give the seed back as a plain int. ValueError: not a whole number from 0 to MAX_SEED."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed={seed!r} is not allowed: use a whole number from 0 to {MAX_SEED}.")
    return int(seed)


def generator(seed: int) -> torch.Generator:
    """A CPU generator that starts from `seed`. ValueError: see `check_seed`."""
    return torch.Generator("cpu").manual_seed(check_seed(seed))


def noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal noise, float32 on the CPU, [b *shape], one sample per seed, the same in any batch.

    ValueError: no seeds, a seed out of range, or a shape that is not of positive whole numbers.
    """
    if len(seeds) == 0:
        raise ValueError("seeds is empty: give one seed per sample.")
    if not all(isinstance(n, Integral) and n > 0 for n in shape):
        raise ValueError(f"shape={tuple(shape)} is not allowed: every size must be a whole number above 0.")
    return torch.stack([torch.randn(*shape, generator=generator(seed)) for seed in seeds])  # [b *shape]


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """`build()` with weights drawn from `seed`; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
