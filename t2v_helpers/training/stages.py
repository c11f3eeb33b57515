"""Make the cartoon model again from nothing, and go on where a killed training stopped.

The stages run in order: judge, clip, vae, decoder, latents, tiny, unet, ship. A stage that learns keeps its checkpoint
and its log in its own folder below --runs, latents are one file there, and what is finished is not learned again. The
stages judge, clip and tiny replace the judge, the small CLIP and the tiny autoencoder in the package, and ship the
model in the package, or the one at --out. With --quick all files are kept below --runs/quick, and the package stays as
it is. A log (log.jsonl) has a line for every hundredth step, and for every thousandth of the UNet how many of a few
prompts were shown as asked.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.cartoon import tokenizer
from t2v_helpers.core import arguments, files
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model.generate import generate_batch
from t2v_helpers.training import data, denoiser, loop, small_clip, tiny_autoencoder
from t2v_helpers.training import judge as judging

STAGES = ("judge", "clip", "vae", "decoder", "latents", "tiny", "unet", "ship")
LOG_EVERY, MEASURE_EVERY = 100, 1000


@dataclass(frozen=True)
class Plan:
    """What is trained, where its files are kept, and where the model goes."""

    runs: Path
    out: Path = denoiser.MODEL
    judge_out: Path = judges.WEIGHTS
    clip_out: Path = small_clip.FOLDER
    tiny_out: Path = tiny_autoencoder.FOLDER
    judge: judging.JudgeSettings = field(default_factory=judging.JudgeSettings)
    clip: small_clip.ClipSettings = field(default_factory=small_clip.ClipSettings)
    vae: denoiser.VaeSettings = field(default_factory=denoiser.VaeSettings)
    decoder: denoiser.DecoderSettings = field(default_factory=denoiser.DecoderSettings)
    tiny: tiny_autoencoder.TinySettings = field(default_factory=tiny_autoencoder.TinySettings)
    unet: denoiser.UnetSettings = field(default_factory=denoiser.UnetSettings)
    clips: int = 3000
    probes: int = 16  # prompts that are made and read while the UNet learns
    renders: int = 1000  # fresh renders on which the judge is measured, each way

    @classmethod
    def quick(cls, runs: Path, out: Path) -> "Plan":
        """Every stage in a minute, to try the machinery: what comes out shows nothing."""
        phases = (denoiser.Phase(4, 1, 4), denoiser.Phase(4, 4, 2))
        return cls(
            runs,
            out,
            runs / "judge.safetensors",
            runs / "clip_model",
            runs / "tiny_vae",
            judging.JudgeSettings(steps=2, batch=2, pool=4),
            small_clip.ClipSettings(steps=2, batch=4, pool=8),
            denoiser.VaeSettings(steps=4, batch=2),
            denoiser.DecoderSettings(steps=2, batch=2),
            tiny_autoencoder.TinySettings(steps=2, batch=2),
            denoiser.UnetSettings(phases=phases, images=4),
            clips=4,
            probes=2,
            renders=4,
        )


def main(argv: list[str] | None = None) -> int:
    """Run the asked stages one after the other. Bad words are refused before the first."""
    options = add_options(arguments.Parser(prog="t2v train", description=__doc__)).parse_args(argv)
    plan = _plan(options)
    done_by = (train_judge, train_clip, train_vae, train_decoder, encode, train_tiny, train_unet, ship)
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
    out = options.out or (runs / "model" if options.quick else denoiser.MODEL)
    files.check_target(runs / "latents.safetensors")
    if "ship" in (options.stages or STAGES):
        denoiser.check_place(out, runs)
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
    judging.ship(loop.averaged(task, plan.runs / "judge"), plan.judge, plan.renders, plan.judge_out)


def train_clip(plan: Plan) -> None:
    """Stage clip: its checkpoint in runs/clip; its weights in the package."""
    task = small_clip.ClipTask(plan.clip, tokenizer.new_tokenizer())
    _follow(task, plan.runs / "clip")
    small_clip.ship(loop.averaged(task, plan.runs / "clip"), task.tokenizer, plan.clip_out)


def train_vae(plan: Plan) -> None:
    """Stage vae: the autoencoder's checkpoint in runs/vae."""
    _follow(denoiser.VaeTask(plan.vae), plan.runs / "vae")


def train_decoder(plan: Plan) -> None:
    """Stage decoder: the decoder's checkpoint in runs/decoder."""
    _follow(_decoder_task(plan), plan.runs / "decoder")


def encode(plan: Plan) -> None:
    """Stage latents: the training clips, encoded, in runs/latents.safetensors."""
    path = plan.runs / "latents.safetensors"
    if path.exists():
        data.Clips.load(path)  # refuses a damaged file
    else:
        done = data.encode(_vae(plan), plan.unet.seed, plan.clips, path)
        for _ in tqdm(done, total=plan.clips, desc="latents", unit="clip"):
            pass


def train_tiny(plan: Plan) -> None:
    """Stage tiny: the tiny autoencoder's checkpoint in runs/tiny; its weights in the package."""
    vae = _vae(plan)
    vae.register_to_config(scaling_factor=data.Clips.load(plan.runs / "latents.safetensors").scaling_factor)
    task = tiny_autoencoder.TinyTask(plan.tiny, vae)
    _follow(task, plan.runs / "tiny")
    tiny_autoencoder.ship(loop.averaged(task, plan.runs / "tiny"), plan.tiny_out)


def train_unet(plan: Plan) -> None:
    """Stage unet: the checkpoint of UNet and text encoder in runs/unet; now and then a few videos are judged."""
    _vae(plan)  # the probe needs it, so it is asked for now and not after a thousand steps
    _follow(_unet_task(plan), plan.runs / "unet", lambda: probe(plan))


def ship(plan: Plan) -> None:
    """Stage ship: the averaged weights as a pipeline folder, by default inside the package."""
    denoiser.ship(assemble(plan), plan.out)


def assemble(plan: Plan, finished: bool = True):
    """The TextToVideoSDPipeline of the checkpoints in the plan's runs, with the averaged weights, in float32.

    Errors: a stage is not finished (with `finished=False` the UNet need not be), or its file is damaged.
    """
    vae, task = _vae(plan), _unet_task(plan)
    parts = loop.averaged(task, plan.runs / "unet", finished)
    words_of = {"text_encoder": parts["text_encoder"], "tokenizer": task.tokenizer}
    return denoiser.pipeline(vae, parts["unet"], **words_of, scaling_factor=task.clips.scaling_factor)


def probe(plan: Plan) -> dict:
    """Videos of a few captions made with the averaged weights, read by the judge: the shares that are right."""
    items = [cartoon.item(1, i, frames=1, split="all") for i in range(plan.probes)]
    specs = [GenerationSpec(item.caption, seed=i, steps=12, guidance=4.0) for i, item in enumerate(items)]
    pipe = assemble(plan, finished=False)
    videos = torch.stack([torch.from_numpy(made.frames) for made in generate_batch(pipe, specs)])
    right = metrics.adherence(metrics.read(videos.numpy()), [item.labels for item in items])
    return {"adherence": right.to_dict()}


def _unet_task(plan: Plan) -> denoiser.UnetTask:
    encoded = data.Clips.load(plan.runs / "latents.safetensors")
    return denoiser.UnetTask(plan.unet, encoded, tokenizer.new_tokenizer())


def _decoder_task(plan: Plan) -> denoiser.DecoderTask:
    vae = loop.averaged(denoiser.VaeTask(plan.vae), plan.runs / "vae")
    return denoiser.DecoderTask(plan.decoder, plan.vae, vae)


def _vae(plan: Plan) -> torch.nn.Module:
    task = _decoder_task(plan)
    loop.averaged(task, plan.runs / "decoder")
    return task.vae


def _follow(task: loop.Task, folder: Path, measure: Callable[[], dict] | None = None) -> None:
    """Train to the end with a progress bar, and log every LOG_EVERY steps."""
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=task.steps, desc=task.name, unit="step") as bar:
        for line in _lines(loop.train(task, folder), bar):
            if measure and line["step"] % MEASURE_EVERY == 0:
                line |= measure()
            with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")


def _lines(steps: Iterator[loop.Step], bar: tqdm) -> Iterator[dict]:
    """A line of the log for every LOG_EVERY steps: the mean loss, what was shown last, seconds since the start."""
    losses, start = [], time.monotonic()
    for step in steps:
        bar.update(step.index - bar.n)
        bar.set_postfix(loss=f"{step.loss:.3f}", **{name: f"{x:.3g}" for name, x in step.shown.items()})
        losses.append(step.loss)
        if step.index % LOG_EVERY == 0 or step.index == step.total:
            mean, seconds = sum(losses) / len(losses), time.monotonic() - start
            yield {"step": step.index, "loss": mean, **step.shown, "seconds": seconds}
            losses = []
