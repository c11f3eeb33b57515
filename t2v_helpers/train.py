"""Make the cartoon model again from nothing, and go on where a killed training stopped.

The stages run in order: judge, clip, segmenter, vae, decoder, latents, tiny, unet, ship. A stage that learns keeps its
checkpoint and its log in its own folder below --runs, latents are one file there, and what is finished is not learned
again. The stages judge, clip, segmenter and tiny replace the judge, the small CLIP, the segmenter and the tiny
autoencoder in the package, and ship the model in the package, or the one at --out. With --quick all files are kept
below --runs/quick, and the package stays as it is. A log (log.jsonl) has a line for every hundredth step, and for every
thousandth of the UNet what a few videos look like: how many show what was asked, how sharp and how whole they are. The
stage ship gathers all logs in benchmarks/training.jsonl.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from t2v_helpers import (
    arguments,
    cartoon,
    contrastive,
    dataset,
    distilling,
    files,
    judging,
    metrics,
    recipe,
    segmenting,
    training,
    words,
)
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.generate import generate_batch
from t2v_helpers.measures import of_ratios
from t2v_helpers.records import GenerationSpec

STAGES = ("judge", "clip", "segmenter", "vae", "decoder", "latents", "tiny", "unet", "ship")
LOG_EVERY, MEASURE_EVERY = 100, 1000


@dataclass(frozen=True)
class Plan:
    """What is trained, where its files are kept, and where the model goes."""

    runs: Path
    out: Path = recipe.MODEL
    judge_out: Path = judges.WEIGHTS
    clip_out: Path = contrastive.FOLDER
    tiny_out: Path = distilling.FOLDER
    segmenter_out: Path = segmenters.WEIGHTS
    curve_out: Path = Path(__file__).resolve().parents[1] / "benchmarks" / "training.jsonl"
    judge: judging.JudgeSettings = field(default_factory=judging.JudgeSettings)
    clip: contrastive.ClipSettings = field(default_factory=contrastive.ClipSettings)
    segmenter: segmenting.SegmenterSettings = field(default_factory=segmenting.SegmenterSettings)
    vae: recipe.VaeSettings = field(default_factory=recipe.VaeSettings)
    decoder: recipe.DecoderSettings = field(default_factory=recipe.DecoderSettings)
    tiny: distilling.TinySettings = field(default_factory=distilling.TinySettings)
    unet: recipe.UnetSettings = field(default_factory=recipe.UnetSettings)
    clips: int = 12_000
    probes: int = 24  # prompts that are made and read while the UNet learns
    renders: int = 1000  # fresh renders on which the judge and the segmenter are measured, each way

    @classmethod
    def quick(cls, runs: Path, out: Path) -> "Plan":
        """Every stage in a minute, to try the machinery: what comes out shows nothing."""
        phases = (recipe.Phase(4, 1, 4), recipe.Phase(4, 4, 2))
        return cls(
            runs,
            out,
            runs / "judge.safetensors",
            runs / "clip_model",
            runs / "tiny_vae",
            runs / "segmenter.safetensors",
            runs / "training.jsonl",
            judging.JudgeSettings(steps=2, batch=2, pool=4),
            contrastive.ClipSettings(steps=2, batch=4, pool=8),
            segmenting.SegmenterSettings(steps=2, batch=4),
            recipe.VaeSettings(steps=4, batch=2),
            recipe.DecoderSettings(steps=2, batch=2),
            distilling.TinySettings(steps=2, batch=2),
            recipe.UnetSettings(phases=phases, images=4),
            clips=4,
            probes=2,
            renders=4,
        )


def main(argv: list[str] | None = None) -> int:
    """Run the asked stages one after the other. Bad words are refused before the first."""
    options = add_options(arguments.Parser(prog="t2v train", description=__doc__)).parse_args(argv)
    plan = _plan(options)
    done_by = (train_judge, train_clip, train_segmenter, train_vae, train_decoder, encode, train_tiny, train_unet, ship)
    work = dict(zip(STAGES, done_by, strict=True))
    for stage in options.stages or STAGES:
        work[stage](plan)
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    """The plan that was asked for, checked."""
    for stage in options.stages:
        if stage not in STAGES:
            raise ValueError(f"stage {stage!r} is unknown; stages are: {', '.join(STAGES)}.")
    runs = options.runs / "quick" if options.quick else options.runs
    out = options.out or (runs / "model" if options.quick else recipe.MODEL)
    files.check_target(runs / "latents.safetensors")
    if "ship" in (options.stages or STAGES):
        recipe.check_place(out, runs)
    return Plan.quick(runs, out) if options.quick else Plan(runs, out)


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The words that `t2v train` understands."""
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of {', '.join(STAGES)}; all where none is named")
    parser.add_argument(
        "--runs",
        type=arguments.path,
        default=Path("runs"),
        help="where checkpoints, latents and logs are kept (%(default)s)",
    )
    parser.add_argument(
        "--out", type=arguments.path, help="where the model goes; it replaces the model there (the one in the package)"
    )
    parser.add_argument("--quick", action="store_true", help="a minute's training of everything, below --runs/quick")
    return parser


def train_judge(plan: Plan) -> None:
    """Stage judge: its checkpoint in runs/judge; its weights, with its accuracy on fresh renders, in the package."""
    task = judging.JudgeTask(plan.judge)
    _follow(task, plan.runs / "judge")
    judging.ship(training.averaged(task, plan.runs / "judge"), plan.judge, plan.renders, plan.judge_out)


def train_clip(plan: Plan) -> None:
    """Stage clip: its checkpoint in runs/clip; its weights in the package."""
    task = contrastive.ClipTask(plan.clip, words.new_tokenizer())
    _follow(task, plan.runs / "clip")
    contrastive.ship(training.averaged(task, plan.runs / "clip"), task.tokenizer, plan.clip_out)


def train_segmenter(plan: Plan) -> None:
    """Stage segmenter: its checkpoint in runs/segmenter; its weights, with its accuracy, in the package."""
    task = segmenting.SegmenterTask(plan.segmenter)
    _follow(task, plan.runs / "segmenter")
    segmenting.ship(training.averaged(task, plan.runs / "segmenter"), plan.segmenter, plan.renders, plan.segmenter_out)


def train_vae(plan: Plan) -> None:
    """Stage vae: the autoencoder's checkpoint in runs/vae."""
    _follow(recipe.VaeTask(plan.vae), plan.runs / "vae")


def train_decoder(plan: Plan) -> None:
    """Stage decoder: the decoder's checkpoint in runs/decoder."""
    _follow(_decoder_task(plan), plan.runs / "decoder")


def encode(plan: Plan) -> None:
    """Stage latents: the training clips, encoded, in runs/latents.safetensors."""
    path = plan.runs / "latents.safetensors"
    if path.exists():
        dataset.Clips.load(path)  # refuses a damaged file
    else:
        done = dataset.encode(_encoder(plan), plan.unet.seed, plan.clips, path)
        for _ in tqdm(done, total=plan.clips, desc="latents", unit="clip"):
            pass


def train_tiny(plan: Plan) -> None:
    """Stage tiny: the tiny autoencoder's checkpoint in runs/tiny; its weights in the package."""
    vae = _vae(plan)
    vae.register_to_config(scaling_factor=dataset.Clips.load(plan.runs / "latents.safetensors").scaling_factor)
    task = distilling.TinyTask(plan.tiny, vae)
    _follow(task, plan.runs / "tiny")
    distilling.ship(training.averaged(task, plan.runs / "tiny"), plan.tiny_out)


def train_unet(plan: Plan) -> None:
    """Stage unet: the checkpoint of UNet and text encoder in runs/unet; now and then a few videos are judged."""
    _encoder(plan)  # the probe needs it, so it is asked for now and not after a thousand steps
    _follow(_unet_task(plan), plan.runs / "unet", lambda: probe(plan))


def ship(plan: Plan) -> None:
    """Stage ship: the averaged weights as a pipeline folder, by default inside the package; and the logs as one."""
    recipe.ship(assemble(plan), plan.out)
    if plan.curve_out.parent.is_dir():  # an installed package has no benchmarks beside it
        files.write_text(plan.curve_out, "".join(json.dumps(line) + "\n" for line in curve(plan.runs)))


def curve(runs: Path) -> Iterator[dict]:
    """The lines of all logs below `runs`, stage by stage, each step once: where it was done again, as it was last."""
    for stage in STAGES:
        log = runs / stage / "log.jsonl"
        lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
        by_step = {line["step"]: line for line in map(json.loads, lines)}
        yield from (_rounded(by_step[step]) for step in sorted(by_step))


def _rounded(thing):
    """A line of a log, or a part of it, with five digits of each number."""
    if isinstance(thing, dict):
        return {name: _rounded(part) for name, part in thing.items()}
    if isinstance(thing, list):
        return [_rounded(part) for part in thing]
    return float(f"{thing:.5g}") if isinstance(thing, float) else thing


def assemble(plan: Plan, finished: bool = True):
    """The TextToVideoSDPipeline of the checkpoints in the plan's runs, with the averaged weights, in float32.

    Errors: a stage is not finished (with `finished=False` UNet and decoder need not be), or its file is damaged.
    """
    vae, task = _vae(plan, finished), _unet_task(plan)
    parts = training.averaged(task, plan.runs / "unet", finished)
    words_of = {"text_encoder": parts["text_encoder"], "tokenizer": task.tokenizer}
    return recipe.pipeline(
        vae, recipe.for_diffusers(parts["unet"]), **words_of, scaling_factor=task.clips.scaling_factor
    )


def probe(plan: Plan) -> dict:
    """Videos of a few captions made with the averaged weights: the shares that are right, how sharp, how many whole.

    Sharpness is that of drawings of the same captions at the same places, their geometric mean. Wholeness is left out
    where no segmenter is trained yet.
    """
    items = [cartoon.item(1, i, split="all") for i in range(plan.probes)]
    specs = [GenerationSpec(item.caption, seed=i, steps=12, guidance=4.0) for i, item in enumerate(items)]
    pipe = assemble(plan, finished=False)
    videos = np.stack([made.frames for made in generate_batch(pipe, specs)])
    right = metrics.adherence(metrics.read(videos), [item.labels for item in items])
    return {"adherence": right.to_dict(), "sharpness": _sharpness(videos, items)} | _wholeness(plan, videos, items)


def _sharpness(videos: np.ndarray, items: list[cartoon.Item]) -> float:
    ratios = [metrics.sharpness_ratio(video, item) for video, item in zip(videos, items, strict=True)]
    return of_ratios(ratios).value


def _wholeness(plan: Plan, videos: np.ndarray, items: list[cartoon.Item]) -> dict:
    if not plan.segmenter_out.is_file():
        return {}
    whole = metrics.wholeness(videos, [item.labels for item in items], segmenters.load(plan.segmenter_out))
    return {"wholeness": whole.to_dict()}


def _unet_task(plan: Plan) -> recipe.UnetTask:
    encoded = dataset.Clips.load(plan.runs / "latents.safetensors")
    return recipe.UnetTask(plan.unet, encoded, words.new_tokenizer())


def _encoder(plan: Plan) -> torch.nn.Module:
    """The autoencoder without the decoder's own training: all that latents need."""
    return training.averaged(recipe.VaeTask(plan.vae), plan.runs / "vae")


def _decoder_task(plan: Plan) -> recipe.DecoderTask:
    return recipe.DecoderTask(plan.decoder, plan.vae, _encoder(plan))


def _vae(plan: Plan, finished: bool = True) -> torch.nn.Module:
    """The autoencoder; its decoder may be half trained where `finished` is False."""
    task = _decoder_task(plan)
    training.averaged(task, plan.runs / "decoder", finished)
    return task.vae


def _follow(task: training.Task, folder: Path, measure: Callable[[], dict] | None = None) -> None:
    """Train to the end with a progress bar, and log every LOG_EVERY steps; now and then with what `measure` says."""
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=task.steps, desc=task.name, unit="step") as bar:
        for line in _lines(training.train(task, folder), bar):
            if measure and line["step"] % MEASURE_EVERY == 0:
                line |= measure()
            with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps({"stage": task.name} | line) + "\n")


def _lines(steps: Iterator[training.Step], bar: tqdm) -> Iterator[dict]:
    """A line of the log for every LOG_EVERY steps: the mean loss, means of what is shown, seconds these steps took."""
    found: list[training.Step] = []
    for step in steps:
        bar.update(step.index - bar.n)
        bar.set_postfix(loss=f"{step.loss:.3f}", **{name: f"{x:.3g}" for name, x in step.shown.items()})
        found.append(step)
        if step.index % LOG_EVERY == 0 or step.index == step.total:
            yield _line(found)
            found = []


def _line(found: list[training.Step]) -> dict:
    """The steps as one line: the last one's number and frames, means of the others, and how fast they were."""
    seconds = sum(step.seconds for step in found)
    names = [name for name in found[-1].shown if all(name in step.shown for step in found)]
    shown = {name: sum(step.shown[name] for step in found) / len(found) for name in names}
    loss = sum(step.loss for step in found) / len(found)
    return {
        "step": found[-1].index,
        "loss": loss,
        **shown,
        "seconds": seconds,
        "steps_per_second": len(found) / seconds,
    }
