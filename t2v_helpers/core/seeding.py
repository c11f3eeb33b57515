"""Reproducible noise: one generator per sample, so that sample i depends on its own seed alone.

The generators live on the CPU, so that a seed means the same noise on every machine.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from t2v_helpers.core import checking

MAX_SEED = 2**32 - 1  # torch's CPU generator reads 32 bits: a larger seed would silently repeat a smaller one


def check_seed(seed: int) -> int:
    """`seed` as a plain int. ValueError: not a whole number from 0 to MAX_SEED."""
    return checking.whole("seed", seed, 0, MAX_SEED)


def generator(seed: int) -> torch.Generator:
    """A CPU generator that starts from `seed`. ValueError: see `check_seed`."""
    return torch.Generator("cpu").manual_seed(check_seed(seed))


def noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal noise, float32 on the CPU, [b *shape], one sample per seed, the same in any batch.

    ValueError: no seeds, a seed out of range, or a size that is not a positive whole number.
    """
    seeds = checking.several("seeds", seeds, "a list of seeds, one per sample, such as [0, 1]")
    if not seeds:
        raise ValueError("seeds is empty: give one seed per sample.")
    sizes = _sizes(shape)
    return torch.stack([draw(generator(seed), sizes) for seed in seeds])  # [b *shape]


def draw(source: torch.Generator, shape: Sequence[int]) -> Tensor:
    """Standard normal noise [*shape] of `source`: float32 on the CPU, whatever torch's default dtype and device are.

    ValueError: a source or a size that is none.
    """
    checking.kind("source", source, torch.Generator, "seeding.generator(seed)")
    return torch.randn(_sizes(shape), generator=source, dtype=torch.float32, device="cpu")


def _sizes(shape: Sequence[int]) -> list[int]:
    sizes = checking.several("shape", shape, "a list of sizes, such as (4, 8)")
    return [checking.whole("shape", size) for size in sizes]


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """`build()` with weights drawn from `seed`; the global generator is left unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
