"""Training of the judge, on slightly disturbed renders alone, never on a model's videos."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2v_helpers import metrics
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.cartoon import stored
from t2v_helpers.core import checking
from t2v_helpers.core.seeding import seeded
from t2v_helpers.training import data
from t2v_helpers.training.loop import Task


@dataclass(frozen=True)
class JudgeSettings:
    """What decides the judge's weights. Each clip of the pool is seen many times, cut and disturbed anew each time."""

    seed: int = 0
    steps: int = 1200
    batch: int = 32
    pool: int = 4096
    frames: int = 24  # of a clip of the pool
    lengths: tuple[int, ...] = (8, 8, 8, 12, 16, 24)  # frames of a cut, all equally likely
    lr: float = 4e-3
    warm_up: int = 50
    blur: float = 1.3  # pixels, at most
    noise: float = 0.12  # of [-1, 1], at most
    shift: int = 5  # pixels, at most, each way
    brightness: float = 0.12  # of [-1, 1], at most

    def __post_init__(self):
        for name in ("steps", "batch", "pool"):
            checking.whole(name, getattr(self, name))
        for f in self.lengths or (0,):
            checking.whole("lengths", f, 1, self.frames)


class JudgeTask(Task):
    """Learn to read the four labels off disturbed renders."""

    name, ema = "judge", 0.99

    def __init__(self, settings: JudgeSettings):
        super().__init__(settings, seeded(settings.seed, judges.Judge))
        self.clip = data.pool(settings.seed, settings.pool, settings.frames)

    def batch(self, k: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Clips x [b 3 f 64 64] in [-1, 1], and the class indices [b] of each label."""
        rng = np.random.default_rng((self.settings.seed, k))
        items = [self.clip(int(i)) for i in rng.integers(self.settings.pool, size=self.settings.batch)]
        f = int(rng.choice(self.settings.lengths))
        x = torch.stack([disturbed_cut(item.frames, f, self.settings, rng) for item in items])
        return x, judges.targets([item.labels for item in items])

    def loss(self, batch) -> tuple[Tensor, dict[str, float]]:
        """The sum of the four cross-entropies; the log shows the accuracy of each label."""
        x, wanted = batch
        logits = self.modules(x)
        shown = {name: (logits[name].argmax(1) == wanted[name]).float().mean().item() for name in wanted}
        return sum(F.cross_entropy(logits[name], wanted[name]) for name in wanted), shown


def disturbed_cut(frames: np.ndarray, f: int, settings: JudgeSettings, rng: np.random.Generator) -> Tensor:
    """`f` consecutive frames of a clip uint8 [f h w c], disturbed: [3 f h w]."""
    first = int(rng.integers(len(frames) - f + 1))
    return data.disturbed(frames[first : first + f], settings, rng, settings.shift)


def export(judge: judges.Judge, settings: JudgeSettings, renders: int, path: Path = judges.WEIGHTS) -> dict:
    """Measure the accuracy on fresh renders, write the judge to `path` with it in the header, and return it."""
    accuracy = {d: metrics.judge_accuracy(renders, data.FRESH_SEED, d, judge).to_dict() for d in metrics.DISTURBANCES}
    about = {"settings": json.dumps(asdict(settings)), "accuracy": json.dumps(accuracy)}
    stored.save(judge, path, about)
    return accuracy
