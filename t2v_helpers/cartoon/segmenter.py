"""The segmenter: a small network that marks the subject in a frame, pixel by pixel.

It goes down three times to half the size and up again, and on the way up reads beside each map the one of the same
size from the way down (U-Net, Ronneberger et al. 2015, arXiv 1505.04597). It is trained on drawings alone
(t2v_helpers/segmenting.py), whose masks are known, never on a model's output. The letter Z of a sleeper is not marked.

Input: float [b 3 64 64] in [-1, 1]. Output: logits [b 64 64], above 0 where the subject is.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

WEIGHTS = Path(__file__).with_name("segmenter.safetensors")


class Segmenter(nn.Module):
    """Where the subject is in a frame. `widths` are the channels at 64, 32, 16 and 8 pixels."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 48, 64)):
        super().__init__()
        self.down = nn.ModuleList(_block(i, o, 1 + (i > 3)) for i, o in zip((3, *widths[:-1]), widths, strict=True))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # from the smallest map to the largest
        self.up = nn.ModuleList(_block(low + high, high) for low, high in pairs)
        self.mark = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x float [b 3 64 64] in [-1, 1] -> logits [b 64 64]; any height and width that 8 divides will do."""
        x, skips = x.contiguous(memory_format=torch.channels_last), []  # faster so on a CPU
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2), skips.pop()], dim=1))
        return self.mark(x)[:, 0]


def save(segmenter: Segmenter, path: Path, about: dict[str, str] | None = None) -> None:
    """Write the weights as fp16 safetensors; `about` goes into the header."""
    state = {name: x.half().contiguous() for name, x in segmenter.state_dict().items()}
    save_file(state, str(path), metadata=about)


def load(path: Path = WEIGHTS) -> Segmenter:
    """The segmenter of `path`, float32, in eval mode. FileNotFoundError: it is not there. ValueError: another file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} holds no segmenter; train one with: t2v train segmenter")
    segmenter = Segmenter()
    try:
        segmenter.load_state_dict(load_file(str(path)))
    except (RuntimeError, SafetensorError) as error:
        again = "train it again with: t2v train segmenter"
        raise ValueError(f"{path} does not fit this segmenter ({error}); {again}") from error
    return segmenter.eval()


def about(path: Path = WEIGHTS) -> dict[str, str]:
    """What the header of the weights says: the settings of the training, and the accuracy on fresh drawings."""
    with safe_open(str(path), "pt") as file:
        return file.metadata() or {}


def _block(ins: int, outs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(outs // 8, outs), nn.ReLU(inplace=True))
