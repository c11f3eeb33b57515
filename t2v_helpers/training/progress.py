"""What a training shows on its way: a bar, a log line for every hundredth step, and a look at a few videos."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map
from tqdm import tqdm

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.core import checking, files
from t2v_helpers.core.seeding import generator
from t2v_helpers.metrics.estimates import of_ratios
from t2v_helpers.model.pipeline import Base
from t2v_helpers.training import loop
from t2v_helpers.training.data import FRAMES

LOG_EVERY, MEASURE_EVERY = 100, 1000
LOG = "log.jsonl"


def follow(task: loop.Task, runs: Path, device: torch.device, measure: Callable[[], dict] | None = None) -> nn.Module:
    """Train to the end in a folder of `runs`, with a progress bar and a log; the averaged modules, on the CPU.

    measure: what else a line of the log holds, every MEASURE_EVERY steps and at the end.
    """
    folder = runs / task.name
    files.check_target(folder / LOG)
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=task.steps, desc=task.name, unit="step") as bar:
        for line in _lines(loop.train(task.to(device), folder), bar):
            if measure and (line["step"] % MEASURE_EVERY == 0 or line["step"] == task.steps):
                line |= measure()
            with open(folder / LOG, "a", encoding="utf-8") as log:
                log.write(json.dumps({"stage": task.name} | line) + "\n")
    return loop.averaged(task, folder)


def _lines(steps: Iterator[loop.Step], bar: tqdm) -> Iterator[dict]:
    """A log line for every LOG_EVERY steps."""
    found: list[loop.Step] = []
    for step in steps:
        bar.update(step.index - bar.n)
        bar.set_postfix(loss=f"{step.loss:.3f}", **{name: f"{x:.3g}" for name, x in step.shown.items()})
        found.append(step)
        if step.index % LOG_EVERY == 0 or step.index == step.total:
            yield _line(found)
            found = []


def _line(found: list[loop.Step]) -> dict:
    """The last step's number, the means of the loss and of the figures that all steps have, seconds and speed."""
    seconds = sum(step.seconds for step in found)
    names = [name for name in found[-1].shown if all(name in step.shown for step in found)]
    means = {name: sum(step.shown[name] for step in found) / len(found) for name in names}
    loss = sum(step.loss for step in found) / len(found)
    speed = {"seconds": seconds, "steps_per_second": len(found) / seconds}
    return {"step": found[-1].index, "loss": loss} | means | speed


def logged(runs: Path, stages: Iterable[str]) -> Iterator[dict]:
    """The lines of all logs below `runs`, stage by stage; a step that was repeated counts as it went last.

    A line that a full disk cut short, or that is no line of ours, is left out: the step was repeated, or the figures
    are of the one after. ValueError: see files.read_text.
    """
    for stage in stages:
        for log in sorted(runs.glob(f"{stage}*/{LOG}")):  # a halving has a folder of its own
            by_step = {line["step"]: line for line in _whole(log)}
            yield from (_rounded(by_step[step]) for step in sorted(by_step))


def _whole(log: Path) -> Iterator[dict]:
    for text in files.read_text(log, errors="replace").splitlines():
        with suppress(ValueError):
            line = files.parse_json(text)
            checking.whole("step", line.get("step"))
            yield line


def _rounded(line: dict) -> dict:
    """A line of a log with five digits of each number."""
    return tree_map(lambda x: float(f"{x:.5g}") if isinstance(x, float) else x, line)


def few_steps(pipe: Base, caption: str, steps: int, seed: int) -> np.ndarray:
    """A student's video uint8 [f h w 3] in so many calls of its UNet, by the pipeline's own call."""
    sizes = {"height": cartoon.SIZE, "width": cartoon.SIZE, "num_frames": FRAMES, "num_inference_steps": steps}
    frames = pipe(caption, **sizes, guidance_scale=1.0, generator=generator(seed), output_type="np").frames[0]
    return (frames * 255).round().astype(np.uint8)


def asked(count: int) -> list[cartoon.Item]:
    """The drawings whose captions are asked for, while a training goes on."""
    return [cartoon.item(1, i, split="all") for i in range(count)]


def read(items: list[cartoon.Item], frames: list[np.ndarray], segmenter: Path) -> dict:
    """What the judge and the segmenter read in videos uint8 [f 64 64 3] of the items' captions."""
    videos = np.stack(frames)
    labels = [item.labels for item in items]
    ratios = [metrics.sharpness_ratio(video, item) for video, item in zip(videos, items, strict=True)]
    found = {
        "adherence": metrics.adherence(metrics.read(videos), labels).to_dict(),
        "sharpness": of_ratios(ratios).value,
    }
    if segmenter.is_file():
        found["wholeness"] = metrics.wholeness(videos, labels, segmenters.load(segmenter)).to_dict()
    return found
