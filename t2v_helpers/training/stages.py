"""Train the cartoon model again from nothing, and resume where a killed training stopped.

A stage that trains keeps its checkpoint and its log in a folder of its own below --runs, latents are one file there,
and what is finished is not trained again. With --quick all files stay below --runs/quick, and the package is left
alone. A log (log.jsonl) has a line for every hundredth step. For every thousandth step of the UNet, it says how many of
a few videos show what was asked, and how sharp and how whole they are.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from diffusers import AutoencoderKL
from torch import nn
from tqdm import tqdm

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.cartoon.tokenizer import new_tokenizer
from t2v_helpers.core import arguments, checking, files, paths
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.metrics.estimates import of_ratios
from t2v_helpers.model.generate import generate_batch
from t2v_helpers.model.pipeline import Base
from t2v_helpers.training import data, export, judge, loop, segmenter, small_clip, tiny_autoencoder
from t2v_helpers.training.autoencoder import DecoderSettings, DecoderTask, VaeSettings, VaeTask
from t2v_helpers.training.denoiser import Phase, UnetSettings, UnetTask
from t2v_helpers.training.judge import JudgeSettings
from t2v_helpers.training.segmenter import SegmenterSettings
from t2v_helpers.training.small_clip import ClipSettings
from t2v_helpers.training.tiny_autoencoder import TinySettings

LOG_EVERY, MEASURE_EVERY = 100, 1000


@dataclass(frozen=True)
class Plan:
    """Where files are kept, and the settings of each stage. `weights`: the folder for all but the model (`out`)."""

    runs: Path
    out: Path = export.MODEL
    weights: Path = paths.WEIGHTS
    judge: JudgeSettings = JudgeSettings()
    clip: ClipSettings = ClipSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    vae: VaeSettings = VaeSettings()
    decoder: DecoderSettings = DecoderSettings()
    tiny: TinySettings = TinySettings()
    unet: UnetSettings = UnetSettings()
    clips: int = 3000
    probes: int = 16  # videos generated and judged while the UNet trains
    renders: int = 1000  # fresh renders on which judge and segmenter are measured, for each disturbance

    @classmethod
    def quick(cls, runs: Path, out: Path) -> "Plan":
        """Every stage in a minute, to test the machinery; the weights are useless."""
        return cls(
            runs,
            out,
            runs / "weights",
            judge=JudgeSettings(steps=2, batch=2, pool=4),
            clip=ClipSettings(steps=2, batch=4, pool=8),
            segmenter=SegmenterSettings(steps=2, batch=4),
            vae=VaeSettings(steps=4, batch=2),
            decoder=DecoderSettings(steps=2, batch=2),
            tiny=TinySettings(steps=2, batch=2),
            unet=UnetSettings(phases=(Phase(4, 1, 4), Phase(4, 4, 2)), images=4),
            clips=4,
            probes=2,
            renders=4,
        )

    @property
    def latents(self) -> Path:
        """The file of encoded clips."""
        return self.runs / "latents.safetensors"

    @property
    def segmenter_weights(self) -> Path:
        """The file of the segmenter's weights."""
        return self.weights / segmenters.WEIGHTS.name


def train_judge(plan: Plan) -> None:
    """Train the judge, and write it with its accuracy on fresh renders."""
    trained = _follow(judge.JudgeTask(plan.judge), plan)
    judge.export(trained, plan.judge, plan.renders, plan.weights / "judge.safetensors")


def train_clip(plan: Plan) -> None:
    """Train and write the small CLIP."""
    task = small_clip.ClipTask(plan.clip, new_tokenizer())
    small_clip.export(_follow(task, plan), task.tokenizer, plan.weights / small_clip.FOLDER.name)


def train_segmenter(plan: Plan) -> None:
    """Train the segmenter, and write it with its accuracy on fresh renders."""
    trained = _follow(segmenter.SegmenterTask(plan.segmenter), plan)
    segmenter.export(trained, plan.segmenter, plan.renders, plan.segmenter_weights)


def train_vae(plan: Plan) -> None:
    """Train the autoencoder."""
    _follow(VaeTask(plan.vae), plan)


def train_decoder(plan: Plan) -> None:
    """Train the autoencoder's decoder for longer."""
    _follow(_decoder_task(plan), plan)


def encode(plan: Plan) -> None:
    """Encode the training clips, unless their file is there; a damaged one is refused."""
    if plan.latents.exists():
        data.Clips.load(plan.latents)
        return
    done = data.encode(_vae(plan), plan.unet.seed, plan.clips, plan.latents)
    for _ in tqdm(done, total=plan.clips, desc="latents", unit="clip"):
        pass


def train_tiny(plan: Plan) -> None:
    """Train and write the tiny autoencoder."""
    vae = _vae(plan)
    vae.register_to_config(scaling_factor=data.Clips.load(plan.latents).scaling_factor)
    trained = _follow(tiny_autoencoder.TinyTask(plan.tiny, vae), plan)
    tiny_autoencoder.export(trained, plan.weights / tiny_autoencoder.FOLDER.name)


def train_unet(plan: Plan) -> None:
    """Train UNet and text encoder, and judge a few videos now and then."""
    _vae(plan)  # fail now if it is missing, not at the first probe
    _follow(_unet_task(plan), plan, lambda: probe(plan))


def export_model(plan: Plan) -> None:
    """Write the averaged weights as a pipeline folder."""
    export.export(assemble(plan), plan.out)


class Stage(NamedTuple):
    """What a stage runs, and what it writes below --runs or into the package."""

    run: Callable[[Plan], None]
    writes: str


STAGES = {  # in the order in which they run
    "judge": Stage(train_judge, "the judge in the package"),
    "clip": Stage(train_clip, "the small CLIP in the package"),
    "segmenter": Stage(train_segmenter, "the segmenter in the package"),
    "vae": Stage(train_vae, "the autoencoder's checkpoint"),
    "decoder": Stage(train_decoder, "the decoder's checkpoint"),
    "latents": Stage(encode, "the encoded clips"),
    "tiny": Stage(train_tiny, "the tiny autoencoder in the package"),
    "unet": Stage(train_unet, "the checkpoint of UNet and text encoder"),
    "export": Stage(export_model, "the model in the package, or the one at --out"),
}


def main(argv: list[str] | None = None) -> int:
    """Run the chosen stages in the order given. Bad arguments are refused before the first."""
    options = add_options(arguments.Parser(prog="t2v train", description=__doc__)).parse_args(argv)
    plan = _plan(options)
    for stage in options.stages or STAGES:
        STAGES[stage].run(plan)
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    """The plan that was asked for, checked."""
    for stage in options.stages:
        checking.one_of("stage", stage, STAGES)
    runs = options.runs / "quick" if options.quick else options.runs
    out = options.out or (runs / "model" if options.quick else export.MODEL)
    plan = Plan.quick(runs, out) if options.quick else Plan(runs, out)
    files.check_target(plan.latents)
    if "export" in (options.stages or STAGES):
        export.check_target(out, runs)
    return plan


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the arguments of `t2v train`."""
    table = "; ".join(f"{name} writes {stage.writes}" for name, stage in STAGES.items())
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"{table} (default: all)")
    parser.add_argument(
        "--runs",
        type=arguments.path,
        default=Path("runs"),
        help="folder of checkpoints and logs (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=arguments.path, help="folder of the model to write or replace (default: the one in the package)"
    )
    parser.add_argument("--quick", action="store_true", help="train everything for a minute, below --runs/quick")
    return parser


def assemble(plan: Plan, finished: bool = True) -> Base:
    """The pipeline of the checkpoints in the plan's runs, with the averaged weights, in float32.

    Errors: a stage is not finished (with `finished=False` the UNet need not be), or its file is damaged.
    """
    vae, task = _vae(plan), _unet_task(plan)
    parts = loop.averaged(task, plan.runs / "unet", finished)
    return export.as_pipeline(vae, parts["unet"], parts["text_encoder"], task.tokenizer, task.clips.scaling_factor)


def probe(plan: Plan) -> dict:
    """Generate a few videos with the averaged weights: how many show what was asked, how sharp and how whole they are.

    Sharpness is relative to drawings of the same captions, the geometric mean. Wholeness is left out until there is a
    segmenter.
    """
    items = [cartoon.item(1, i, split="all") for i in range(plan.probes)]
    specs = [GenerationSpec(item.caption, seed=i, steps=12, guidance=4.0) for i, item in enumerate(items)]
    videos = np.stack([made.frames for made in generate_batch(assemble(plan, finished=False), specs)])
    asked = [item.labels for item in items]
    ratios = [metrics.sharpness_ratio(video, item) for video, item in zip(videos, items, strict=True)]
    found = {
        "adherence": metrics.adherence(metrics.read(videos), asked).to_dict(),
        "sharpness": of_ratios(ratios).value,
    }
    if plan.segmenter_weights.is_file():
        found["wholeness"] = metrics.wholeness(videos, asked, segmenters.load(plan.segmenter_weights)).to_dict()
    return found


def _unet_task(plan: Plan) -> UnetTask:
    return UnetTask(plan.unet, data.Clips.load(plan.latents), new_tokenizer())


def _decoder_task(plan: Plan) -> DecoderTask:
    return DecoderTask(plan.decoder, plan.vae, loop.averaged(VaeTask(plan.vae), plan.runs / "vae"))


def _vae(plan: Plan) -> AutoencoderKL:
    task = _decoder_task(plan)
    loop.averaged(task, plan.runs / "decoder")
    return task.vae


def _follow(task: loop.Task, plan: Plan, measure: Callable[[], dict] | None = None) -> nn.Module:
    """Train to the end with a progress bar and a log; the averaged modules."""
    folder = plan.runs / task.name
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=task.steps, desc=task.name, unit="step") as bar:
        for line in _lines(loop.train(task, folder), bar):
            if measure and line["step"] % MEASURE_EVERY == 0:
                line |= measure()
            with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
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
