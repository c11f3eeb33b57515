"""How a network reads videos and words for a measure: with the same numbers, whatever torch is set to outside."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exactly() -> Iterator[None]:
    """On the CPU, in the precision of the network's weights, without gradients: no autocast, no other device."""
    with torch.inference_mode(), torch.autocast("cpu", enabled=False), torch.device("cpu"):
        yield
