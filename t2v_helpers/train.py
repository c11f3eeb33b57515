"""`t2v train`: make the cartoon model again from nothing, and go on where a killed training stopped.

The stages run in order: vae, latents, unet, ship. Each keeps its files in its own folder below --runs, a finished
stage is not done again, and the log of a stage (log.jsonl) has a line for every hundredth step.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from t2v_helpers import cartoon, metrics, recipe, training, words
from t2v_helpers.generate import generate_batch
from t2v_helpers.records import GenerationSpec

STAGES = ("vae", "latents", "unet", "ship")
CLIPS = 3000
LOG_EVERY, MEASURE_EVERY = 100, 1000
PROBES = 16  # prompts that are made and read while the UNet learns


def main(argv: list[str] | None = None) -> int:
    """Run the asked stages one after the other."""
    options = add_options(argparse.ArgumentParser(prog="t2v train", description=__doc__)).parse_args(argv)
    work = {"vae": train_vae, "latents": encode, "unet": train_unet, "ship": ship}
    for stage in options.stages:
        work[stage](options.runs)
    return 0


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The words that `t2v train` understands."""
    parser.add_argument("stages", nargs="*", default=STAGES, choices=STAGES, help="all of them where none is named")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where checkpoints and logs are kept")
    return parser


def train_vae(runs: Path) -> None:
    """Stage vae: the autoencoder's checkpoint in runs/vae."""
    _follow(recipe.VaeTask(recipe.VaeSettings()), runs / "vae")


def encode(runs: Path) -> None:
    """Stage latents: the training clips, encoded, in runs/latents.safetensors."""
    if not (runs / "latents.safetensors").exists():
        done = recipe.encode_clips(_vae(runs), seed=0, count=CLIPS, path=runs / "latents.safetensors")
        for _ in tqdm(done, total=CLIPS, desc="latents", unit="clip"):
            pass


def train_unet(runs: Path) -> None:
    """Stage unet: the checkpoint of UNet and text encoder in runs/unet; now and then a few videos are judged."""
    task = _unet_task(runs)
    _follow(task, runs / "unet", measure=lambda: _probe(runs))


def ship(runs: Path) -> None:
    """Stage ship: the averaged weights as a pipeline folder inside the package."""
    recipe.ship(assemble(runs))


def assemble(runs: Path):
    """The pipeline of the checkpoints in `runs`, with the averaged weights, in float32."""
    task = _unet_task(runs)
    parts = training.averaged(task, runs / "unet")
    return recipe.pipeline(
        _vae(runs), parts["unet"], parts["text_encoder"], task.tokenizer, task.clips.scaling_factor
    )


def _unet_task(runs: Path) -> recipe.UnetTask:
    clips = recipe.Clips.load(runs / "latents.safetensors")
    return recipe.UnetTask(recipe.UnetSettings(), clips, words.new_tokenizer())


def _vae(runs: Path) -> torch.nn.Module:
    return training.averaged(recipe.VaeTask(recipe.VaeSettings()), runs / "vae")


def _follow(task: training.Task, folder: Path, measure=None) -> None:
    """Train to the end with a progress bar, and log the mean loss of every LOG_EVERY steps."""
    with tqdm(total=task.steps, desc=task.name, unit="step") as bar:
        for line in _lines(training.train(task, folder), bar):
            if measure and line["step"] % MEASURE_EVERY == 0:
                line |= measure()
            with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")


def _lines(steps: Iterator[training.Step], bar: tqdm) -> Iterator[dict]:
    """A line of the log for every LOG_EVERY steps: what was shown, on average."""
    losses, start = [], time.monotonic()
    for step in steps:
        bar.update(step.index - bar.n)
        bar.set_postfix(loss=f"{step.loss:.3f}", **{k: f"{v:.3g}" for k, v in step.shown.items()})
        losses.append(step.loss)
        if step.index % LOG_EVERY == 0 or step.index == step.total:
            yield {"step": step.index, "loss": sum(losses) / len(losses), **step.shown, "s": time.monotonic() - start}
            losses = []


def _probe(runs: Path) -> dict:
    """Videos of PROBES captions made with the averaged weights, read by the judge: the shares that are right."""
    pipe = assemble(runs)
    items = [cartoon.item(1, i, frames=1, split="all") for i in range(PROBES)]
    specs = [GenerationSpec(item.caption, seed=i, steps=12, guidance=4.0) for i, item in enumerate(items)]
    videos = torch.stack([torch.from_numpy(made.frames) for made in generate_batch(pipe, specs, batch_size=4)])
    read = metrics.read(videos.numpy())
    return {"adherence": metrics.adherence(read, [item.labels for item in items]).to_dict()}
