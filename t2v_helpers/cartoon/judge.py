"""The judge: a small network that reads subject, action, place and style from a video.

It sees each frame and its difference to the next, first frame by frame, then along time. Its weights take less than
1 MB, and it reads a clip in milliseconds on a CPU. It is trained on renders alone, never on a model's output, so that
it can judge any model.

Input: float [b 3 f 64 64] in [-1, 1], any number of frames. Output: a dict of logits, each [b classes].
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from t2v_helpers.cartoon import stored
from t2v_helpers.cartoon.grammar import ACTIONS, PLACES, RIDERS, STYLES, SUBJECTS, Labels
from t2v_helpers.cartoon.stored import block
from t2v_helpers.core import layout, paths

CLASSES = {"subject": SUBJECTS, "action": ACTIONS, "place": PLACES, "style": STYLES}
WEIGHTS = paths.WEIGHTS / "judge.safetensors"
SIZE = 64  # pixels, height and width
DRAWABLE = torch.tensor([[a != "riding a horse" or s in RIDERS for a in ACTIONS] for s in SUBJECTS])  # [s a]


class Judge(nn.Module):
    """Logits for subject, action, place and style of a clip. `widths` are the channels of the frame encoder."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 96), features: int = 96):
        super().__init__()
        ins = (6, *widths[:-1])
        self.frame = nn.Sequential(*(block(i, o, 2) for i, o in zip(ins, widths, strict=True)))
        self.flat = nn.Linear(widths[-1] * (SIZE >> len(widths)) ** 2, features)
        self.time = nn.Sequential(*(block(features, features, 1, nn.Conv1d) for _ in range(2)))
        self.heads = nn.ModuleDict({name: nn.Linear(2 * features, len(c)) for name, c in CLASSES.items()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """x float [b 3 f 64 64] in [-1, 1] -> {"subject", "action", "place", "style"}: logits [b classes]."""
        x = self.features(x)
        return {name: head(x) for name, head in self.heads.items()}

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """x float [b 3 f 64 64] in [-1, 1] -> [b 2d]: the mean and the maximum over time."""
        b, _, f, _, _ = x.shape
        x = with_differences(x)  # [b 6 f h w]
        x = layout.fold_frames(x).contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        x = self.frame(x)  # [(b f) c 4 4]
        x = self.flat(x.flatten(1)).unflatten(0, (b, f))  # [b f d]
        x = self.time(x.transpose(1, 2))  # [b d f]
        return torch.cat([x.mean(2), x.amax(2)], dim=1)


def with_differences(x: torch.Tensor) -> torch.Tensor:
    """x [b c f h w] with the difference to the next frame as further channels: [b 2c f h w], the last one zero."""
    return torch.cat([x, torch.diff(x, dim=2, append=x[:, :, -1:])], dim=1)


def decide(logits: dict[str, torch.Tensor]) -> list[Labels]:
    """The most likely labels that the grammar allows (no elephant rides a horse), from `logits`, each [b classes]."""
    pairs = logits["subject"].log_softmax(1)[:, :, None] + logits["action"].log_softmax(1)[:, None, :]  # [b s a]
    best = pairs.masked_fill(~DRAWABLE, -torch.inf).flatten(1).argmax(1).tolist()
    rest = zip(logits["place"].argmax(1).tolist(), logits["style"].argmax(1).tolist(), strict=True)
    return [
        Labels(SUBJECTS[pair // len(ACTIONS)], ACTIONS[pair % len(ACTIONS)], PLACES[place], STYLES[style])
        for pair, (place, style) in zip(best, rest, strict=True)
    ]


def targets(labels: list[Labels]) -> dict[str, torch.Tensor]:
    """The class numbers of `labels`: {"subject", "action", "place", "style"}, each int64 [b]."""
    return {name: torch.tensor([c.index(getattr(x, name)) for x in labels]) for name, c in CLASSES.items()}


def disturb(
    x: torch.Tensor,
    generator: torch.Generator,
    blur: float = 0.0,
    noise: float = 0.0,
    shift: tuple[int, int] = (0, 0),
    brightness: float = 0.0,
) -> torch.Tensor:
    """A clip x [c f h w] in [-1, 1] as a softer, noisier, moved or brighter copy of itself, of the same shape.

    `blur`: sigma of a Gaussian in pixels; `noise`: standard deviation, drawn from `generator`; `shift`: pixels right
    and down, the border repeated; `brightness`: added to every value.
    """
    if any(shift):
        x = _shifted(x, *shift)
    if blur:
        x = _blurred(x, blur)
    if noise:
        x = x + noise * torch.randn(x.shape, generator=generator)
    return (x + brightness).clamp(-1, 1)


def load(path: Path = WEIGHTS) -> Judge:
    """The judge of `path`, float32, in eval mode. Errors: see stored.load."""
    return stored.load(Judge(), path)


def _shifted(x: torch.Tensor, right: int, down: int) -> torch.Tensor:
    m = max(abs(right), abs(down))
    h, w = x.shape[-2:]
    return F.pad(x, (m, m, m, m), mode="replicate")[..., m - down : m - down + h, m - right : m - right + w]


def _blurred(x: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = max(1, round(3 * sigma))
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    bell = bell / bell.sum()
    flat = F.pad(x.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")  # [(c f) 1 h+2r w+2r]
    return F.conv2d(F.conv2d(flat, bell[None, None, :, None]), bell[None, None, None]).view_as(x)
