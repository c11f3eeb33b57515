"""The segmenter: a small network that marks the subject in a frame, pixel by pixel.

It is a U-Net (Ronneberger et al. 2015, arXiv 1505.04597) that halves the resolution three times. It is trained on
drawings alone, whose masks are known, never on a model's output. The letter Z of a sleeper is not marked.

Input: float [b 3 64 64] in [-1, 1]. Output: logits [b 64 64], above 0 where the subject is.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from t2v_helpers.cartoon import stored
from t2v_helpers.cartoon.stored import block
from t2v_helpers.core import paths

WEIGHTS = paths.WEIGHTS / "segmenter.safetensors"


class Segmenter(nn.Module):
    """Marks the subject in a frame. `widths` are the channels at 64, 32, 16 and 8 pixels."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 48, 64)):
        super().__init__()
        self.down = nn.ModuleList(block(i, o, 1 + (i > 3)) for i, o in zip((3, *widths[:-1]), widths, strict=True))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # from the smallest map to the largest
        self.up = nn.ModuleList(block(low + high, high, 1) for low, high in pairs)
        self.mark = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x float [b 3 64 64] in [-1, 1] -> logits [b 64 64]; any height and width divisible by 8."""
        x, skips = x.contiguous(memory_format=torch.channels_last), []  # faster on a CPU
        for part in self.down:
            x = part(x)
            skips.append(x)
        skips.pop()
        for part in self.up:
            x = part(torch.cat([F.interpolate(x, scale_factor=2), skips.pop()], dim=1))
        return self.mark(x)[:, 0]


def load(path: Path = WEIGHTS) -> Segmenter:
    """The segmenter of `path`, float32, in eval mode. Errors: see stored.load."""
    return stored.load(Segmenter(), path)
