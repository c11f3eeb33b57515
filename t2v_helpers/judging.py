"""How the judge is trained: on renders alone, disturbed a little.

    python -m t2v_helpers.judging --folder runs/judge

The loop is `training.train`: step k draws its clips, their lengths and their disturbances from (seed, k) alone, and a
training that was killed goes on and ends with the same weights.
"""

import argparse
import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from t2v_helpers import arguments, cartoon, files, layout, metrics, seeding, training
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.training import cosine, seeded


@dataclass(frozen=True)
class JudgeSettings:
    """What decides the judge's weights.

    `pool`: how many clips are rendered; each is seen many times, cut and disturbed in another way each time.
    """

    seed: int = 0
    steps: int = 1200
    batch: int = 32
    pool: int = 4096
    frames: int = 24  # of a clip of the pool
    lengths: tuple[int, ...] = (8, 8, 8, 12, 16, 24)  # frames of a cut, each as likely: short ones show more clips
    lr: float = 4e-3
    warm_up: int = 50
    blur: float = 1.3  # pixels, at most
    noise: float = 0.12  # of [-1, 1], at most
    shift: int = 5  # pixels, at most, each way
    brightness: float = 0.12  # of [-1, 1], at most

    def __post_init__(self):
        for name in ("steps", "batch", "pool"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        if not self.lengths or not all(1 <= f <= self.frames for f in self.lengths):
            raise ValueError(f"lengths are {self.lengths}, but must be some, each from 1 to frames={self.frames}.")


class JudgeTask:
    """Learn to read the four labels off disturbed renders. Settings: JudgeSettings. A `training.Task`."""

    name, ema = "judge", 0.99

    def __init__(self, settings: JudgeSettings):
        self.modules = seeded(settings.seed, judges.Judge)
        self.chosen, self.steps, self.settings = settings, settings.steps, asdict(settings)
        self.clip = lru_cache(settings.pool)(self._render)

    def batch(self, k: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Clips x [b 3 f 64 64] in [-1, 1], and the class numbers of their labels."""
        rng = np.random.default_rng((self.chosen.seed, k))
        items = [self.clip(int(i)) for i in rng.integers(self.chosen.pool, size=self.chosen.batch)]
        f = int(rng.choice(self.chosen.lengths))
        x = torch.stack([disturbed_cut(item.frames, f, self.chosen, rng) for item in items])
        return x, judges.targets([item.labels for item in items])

    def within(self, k: int) -> nullcontext:
        """Nothing to set."""
        return nullcontext()

    def loss(self, batch) -> tuple[torch.Tensor, dict[str, float]]:
        """The sum of the four cross-entropies; the log shows the share of right answers to each."""
        x, wanted = batch
        logits = self.modules(x)
        shown = {name: (logits[name].argmax(1) == wanted[name]).float().mean().item() for name in wanted}
        return sum(F.cross_entropy(logits[name], wanted[name]) for name in wanted), shown

    def lr(self, k: int) -> float:
        """Warm-up, then a cosine to zero."""
        return self.chosen.lr * min(1, (k + 1) / self.chosen.warm_up) * cosine(k / self.steps)

    def _render(self, index: int) -> cartoon.Item:
        return cartoon.item(self.chosen.seed, index, self.chosen.frames, split="all")


def disturbed_cut(frames: np.ndarray, f: int, settings: JudgeSettings, rng: np.random.Generator) -> torch.Tensor:
    """`f` frames in a row of a clip uint8 [f h w c], moved, and half of them soft, noisy or bright: [3 f h w]."""
    first = int(rng.integers(len(frames) - f + 1))
    x = layout.to_float(torch.from_numpy(frames[None, first : first + f].copy()))[0]
    on = rng.random(3) < 0.5
    shift = rng.integers(-settings.shift, settings.shift + 1, size=2)
    return judges.disturb(
        x,
        seeding.generator(int(rng.integers(seeding.MAX_SEED))),
        blur=float(rng.uniform(0.3, settings.blur) * on[0]),
        noise=float(rng.uniform(0, settings.noise) * on[1]),
        shift=(int(shift[0]), int(shift[1])),
        brightness=float(rng.uniform(-settings.brightness, settings.brightness) * on[2]),
    )


def ship(judge: judges.Judge, settings: JudgeSettings, renders: int, path: Path = judges.WEIGHTS) -> dict:
    """Measure the judge on fresh renders, write it to `path` with these numbers in its header, and return them."""
    accuracy = {w: metrics.judge_accuracy(renders, metrics.STREAM, w, judge).to_dict() for w in metrics.DISTURBANCES}
    about = {"settings": json.dumps(asdict(settings)), "accuracy": json.dumps(accuracy)}
    files.write_whole(path, lambda temporary: judges.save(judge, temporary, about))
    return accuracy


def main(argv: list[str] | None = None) -> int:
    """Train the judge with a progress bar, print its accuracy on fresh renders, and write its weights."""
    options = _parser().parse_args(argv)
    files.check_target(options.out)
    task = JudgeTask(JudgeSettings(seed=options.seed, steps=options.steps))
    with tqdm(total=task.steps, unit="step", desc=task.name) as bar:
        for step in training.train(task, options.folder):
            bar.update(step.index - bar.n)
            bar.set_postfix(loss=f"{step.loss:.3f}", **{name: f"{x:.0%}" for name, x in step.shown.items()})
    accuracy = ship(training.averaged(task, options.folder), task.chosen, options.renders, options.out)
    for way, labels in accuracy.items():
        print(f"{way:6}", *(f"{name} {x['share']:.1%}" for name, x in labels.items()), f"of {options.renders} renders")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="python -m t2v_helpers.judging", description="Train the judge on renders.")
    parser.add_argument("--folder", type=Path, default=Path("runs/judge"), help="where the checkpoint is kept")
    parser.add_argument("--steps", type=arguments.whole(), default=JudgeSettings.steps)
    parser.add_argument("--seed", type=arguments.whole(least=0), default=JudgeSettings.seed)
    parser.add_argument(
        "--renders", type=arguments.whole(), default=1000, help="fresh renders to measure the judge on, each way"
    )
    parser.add_argument("--out", type=Path, default=judges.WEIGHTS, help="where the weights go")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
