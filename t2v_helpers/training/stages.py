"""Train the cartoon model again from nothing, and resume where a killed training stopped.

A stage that trains keeps its checkpoint and its log in a folder of its own below --runs, latents are one file there,
and what is finished is not trained again. With --quick all files stay below --runs/quick, and the package is left
alone. A log (log.jsonl) has a line for every hundredth step. For every thousandth step of the UNet, it says how many of
a few videos show what was asked, and how sharp and how whole they are. The stage export gathers all logs in one file,
benchmarks/training.jsonl.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import AutoencoderKL
from tqdm import tqdm

from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.cartoon.tokenizer import new_tokenizer
from t2v_helpers.core import arguments, checking, files, paths
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.machine.device import pick_device
from t2v_helpers.model.generate import generate_batch
from t2v_helpers.model.later import dit_file
from t2v_helpers.model.pipeline import Base
from t2v_helpers.training import data, export, loop, progress, tiny_autoencoder
from t2v_helpers.training.autoencoder import VaeSettings, VaeTask
from t2v_helpers.training.decoder import DecoderSettings, DecoderTask
from t2v_helpers.training.denoiser import Phase, UnetSettings, UnetTask, for_diffusers
from t2v_helpers.training.later.dit import DitSettings, DitTask
from t2v_helpers.training.readers import judge, segmenter, small_clip
from t2v_helpers.training.readers.judge import JudgeSettings
from t2v_helpers.training.readers.segmenter import SegmenterSettings
from t2v_helpers.training.readers.small_clip import ClipSettings
from t2v_helpers.training.student import ConsistencyTask, HalvingTask, Student, StudentSettings, Teacher
from t2v_helpers.training.tiny_autoencoder import TinySettings

CALLS = (4, 2, 1)  # of a student, when it is measured
HALVINGS = (  # the first teacher is guided; its students have guidance built in. Almost two hours on two cores
    StudentSettings(steps=500, lr=1e-3, guidance=4.0, steps_of_teacher=16),
    StudentSettings(steps=400, guidance=1.0, steps_of_teacher=8),
    StudentSettings(steps=700, guidance=1.0, steps_of_teacher=4),
)


@dataclass(frozen=True)
class Plan:
    """Where files are kept, and the settings of each stage. `weights`: the folder for all but the model (`out`)."""

    runs: Path
    out: Path = export.MODEL
    weights: Path = paths.WEIGHTS
    curve: Path = paths.BENCHMARKS / "training.jsonl"
    judge: JudgeSettings = JudgeSettings()
    clip: ClipSettings = ClipSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    vae: VaeSettings = VaeSettings()
    decoder: DecoderSettings = DecoderSettings()
    tiny: TinySettings = TinySettings()
    unet: UnetSettings = UnetSettings()
    dit: DitSettings = DitSettings()
    halvings: tuple[StudentSettings, ...] = HALVINGS
    consistency: StudentSettings = StudentSettings(steps=1600, steps_of_teacher=20)
    student: str = "halving"  # the method whose student is exported
    clips: int = 8_000
    probes: int = 24  # videos generated and judged while the UNet trains
    device: torch.device = torch.device("cpu")
    renders: int = 1000  # fresh renders on which judge and segmenter are measured, for each disturbance

    @classmethod
    def quick(cls, runs: Path, out: Path) -> "Plan":
        """Every stage in a minute, to test the machinery; the weights are useless."""
        return cls(
            runs,
            out,
            runs / "weights",
            runs / "training.jsonl",
            judge=JudgeSettings(steps=2, batch=2, pool=4),
            clip=ClipSettings(steps=2, batch=4, pool=8),
            segmenter=SegmenterSettings(steps=2, batch=4),
            vae=VaeSettings(steps=4, batch=2),
            decoder=DecoderSettings(steps=2, batch=2),
            tiny=TinySettings(steps=2, batch=2),
            unet=UnetSettings(phases=(Phase(4, 1, 4), Phase(4, 4, 2)), images=4),
            dit=DitSettings(phases=(Phase(2, 1, 4), Phase(2, 4, 2)), images=4),
            halvings=tuple(replace(one, steps=2, batch=2, frames=2) for one in HALVINGS[-2:]),
            consistency=StudentSettings(steps=2, batch=2, frames=2, steps_of_teacher=50),
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
    trained = progress.follow(judge.JudgeTask(plan.judge), plan.runs, plan.device)
    judge.export(trained, plan.judge, plan.renders, plan.weights / "judge.safetensors")


def train_clip(plan: Plan) -> None:
    """Train and write the small CLIP."""
    task = small_clip.ClipTask(plan.clip, new_tokenizer())
    small_clip.export(
        progress.follow(task, plan.runs, plan.device), task.tokenizer, plan.weights / small_clip.FOLDER.name
    )


def train_segmenter(plan: Plan) -> None:
    """Train the segmenter, and write it with its accuracy on fresh renders."""
    trained = progress.follow(segmenter.SegmenterTask(plan.segmenter), plan.runs, plan.device)
    segmenter.export(trained, plan.segmenter, plan.renders, plan.segmenter_weights)


def train_vae(plan: Plan) -> None:
    """Train the autoencoder."""
    progress.follow(VaeTask(plan.vae), plan.runs, plan.device)


def encode(plan: Plan) -> None:
    """Encode the training clips, unless their file is there; a damaged one is refused."""
    if plan.latents.exists():
        data.Clips.load(plan.latents)
        return
    done = data.encode(_autoencoder(plan).to(plan.device), plan.unet.seed, plan.clips, plan.latents)
    for _ in tqdm(done, total=plan.clips, desc="latents", unit="clip"):
        pass


def train_decoder(plan: Plan) -> None:
    """Train the autoencoder's decoder on, until its frames are sharp."""
    progress.follow(_decoder_task(plan), plan.runs, plan.device)


def train_tiny(plan: Plan) -> None:
    """Train and write the tiny autoencoder."""
    vae = _vae(plan)
    vae.register_to_config(scaling_factor=data.Clips.load(plan.latents).scaling_factor)
    trained = progress.follow(tiny_autoencoder.TinyTask(plan.tiny, vae), plan.runs, plan.device)
    tiny_autoencoder.export(trained, plan.weights / tiny_autoencoder.FOLDER.name)


def train_unet(plan: Plan) -> None:
    """Train UNet and text encoder, and judge a few videos now and then."""
    _vae(plan)  # fail now if it is missing, not at the first probe
    progress.follow(_unet_task(plan), plan.runs, plan.device, lambda: probe(plan))


def train_dit(plan: Plan) -> None:
    """Train and write the DiT, and judge a few videos now and then."""
    _vae(plan)  # fail now if it is missing, not at the first probe
    trained = progress.follow(_dit_task(plan), plan.runs, plan.device, lambda: probe(plan, _dit_task))
    dit_file.save(trained["unet"], plan.weights / dit_file.WEIGHTS.name)


def train_halving(plan: Plan) -> None:
    """Train students of half as many steps, one after the other, each by the one before."""
    _vae(plan)  # fail now if it is missing, not at the first probe
    _halved(plan, train=True)


def train_consistency(plan: Plan) -> None:
    """Train a student that points to the end from everywhere."""
    _vae(plan)  # fail now if it is missing, not at the first probe
    task = _consistency_task(plan)
    progress.follow(task, plan.runs, plan.device, lambda: probe_student(plan, task))


def export_student(plan: Plan) -> None:
    """Write the student of the plan's method: a UNet and a scheduler."""
    task = _halved(plan) if plan.student == "halving" else _consistent(plan)
    export.export_student(_of_student(plan, task), task.schedule, plan.weights / export.STUDENT.name)


def export_model(plan: Plan) -> None:
    """Write the averaged weights as a pipeline folder, and all logs as one file."""
    export.export(assemble(plan), plan.out)
    if plan.curve.parent.is_dir():  # an installed package has no benchmarks beside it
        files.write_text(plan.curve, "".join(json.dumps(line) + "\n" for line in progress.logged(plan.runs, STAGES)))


class Stage(NamedTuple):
    """What a stage runs, and what it writes below --runs or into the package."""

    run: Callable[[Plan], None]
    writes: str


STAGES = {  # in the order in which they run
    "judge": Stage(train_judge, "the judge in the package"),
    "clip": Stage(train_clip, "the small CLIP in the package"),
    "segmenter": Stage(train_segmenter, "the segmenter in the package"),
    "vae": Stage(train_vae, "the autoencoder's checkpoint"),
    "latents": Stage(encode, "the encoded clips"),
    "decoder": Stage(train_decoder, "the checkpoint of the autoencoder's sharper decoder"),
    "tiny": Stage(train_tiny, "the tiny autoencoder in the package"),
    "unet": Stage(train_unet, "the checkpoint of UNet and text encoder"),
    "dit": Stage(train_dit, "the DiT in the package"),
    "halving": Stage(train_halving, "the checkpoints of students of 8, 4 and 2 steps"),
    "consistency": Stage(train_consistency, "the checkpoint of a student by latent consistency"),
    "student": Stage(export_student, "the student in the package"),
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
    plan = replace(plan, device=pick_device(options.device))
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
    arguments.add(parser, "device")
    parser.add_argument("--quick", action="store_true", help="train everything for a minute, below --runs/quick")
    return parser


def assemble(plan: Plan, finished: bool = True, task_of: Callable[[Plan], UnetTask] | None = None) -> Base:
    """The pipeline of the checkpoints in the plan's runs, with the averaged weights, in float32.

    task_of: whose denoiser (None: the UNet's). Errors: a stage is not finished (with `finished=False`
    the denoiser need not be), or its file is damaged.
    """
    vae, task = _vae(plan), (task_of or _unet_task)(plan)
    parts = loop.averaged(task, plan.runs / task.name, finished)
    if task.name == UnetTask.name:
        denoiser, text_encoder = for_diffusers(parts["unet"]), parts["text_encoder"]
    else:
        denoiser, text_encoder = parts["unet"], task.text_encoder
    pipe = export.as_pipeline(vae, denoiser, text_encoder, task.tokenizer, task.clips.scaling_factor)
    return pipe.to(plan.device)


def probe(plan: Plan, task_of: Callable[[Plan], UnetTask] | None = None) -> dict:
    """Generate a few videos with the averaged weights: how many show what was asked, how sharp and how whole they are.

    Sharpness is relative to drawings of the same captions, the geometric mean. Wholeness is left out until there is a
    segmenter. task_of: see `assemble`.
    """
    items = progress.asked(plan.probes)
    specs = [GenerationSpec(item.caption, seed=i, steps=12, guidance=4.0) for i, item in enumerate(items)]
    frames = [made.frames for made in generate_batch(assemble(plan, False, task_of), specs)]
    return progress.read(items, frames, plan.segmenter_weights)


def probe_student(plan: Plan, task: HalvingTask | ConsistencyTask) -> dict:
    """The same for a student with the weights that it has now, by the number of its calls."""
    pipe, items = _of_student(plan, task), progress.asked(plan.probes)
    pipe.set_progress_bar_config(disable=True)
    found = {}
    for steps in CALLS:
        frames = [progress.few_steps(pipe, item.caption, steps, seed) for seed, item in enumerate(items)]
        found[f"calls {steps}"] = progress.read(items, frames, plan.segmenter_weights)
    return found


def _teacher(plan: Plan) -> tuple[Teacher, UnetTask]:
    """The trained UNet and text encoder, and their task, whose clips and tokenizer the students share."""
    task = _unet_task(plan)
    parts = loop.averaged(task, plan.runs / task.name)
    empty = data.tokens(task.tokenizer, [""])
    return Teacher(parts["unet"], parts["text_encoder"], empty, task.alphas_cumprod), task


def _halved(plan: Plan, train: bool = False) -> HalvingTask:
    """The last halving, with the averaged weights of its checkpoint; trained first where `train` says so."""
    teacher, taught = _teacher(plan)
    for settings in plan.halvings:
        task = HalvingTask(settings, teacher, taught.clips, taught.tokenizer)
        if train:
            progress.follow(task, plan.runs, plan.device, partial(probe_student, plan, task))
        teacher = replace(teacher, unet=loop.averaged(task, plan.runs / task.name))
    return task


def _consistency_task(plan: Plan) -> ConsistencyTask:
    teacher, taught = _teacher(plan)
    return ConsistencyTask(plan.consistency, teacher, taught.clips, taught.tokenizer)


def _consistent(plan: Plan) -> ConsistencyTask:
    task = _consistency_task(plan)
    loop.averaged(task, plan.runs / task.name)
    return task


def _of_student(plan: Plan, task: Student) -> Base:
    """A student in its teacher's pipeline."""
    parts = _vae(plan), for_diffusers(task.modules), task.teacher.text_encoder, task.tokenizer
    return export.as_pipeline(*parts, task.clips.scaling_factor, task.schedule).to(plan.device)


def _unet_task(plan: Plan) -> UnetTask:
    return UnetTask(plan.unet, data.Clips.load(plan.latents), new_tokenizer())


def _dit_task(plan: Plan) -> DitTask:
    teacher, taught = _teacher(plan)
    return DitTask(plan.dit, taught.clips, taught.tokenizer, teacher.text_encoder)


def _decoder_task(plan: Plan) -> DecoderTask:
    return DecoderTask(plan.decoder, _autoencoder(plan), data.Clips.load(plan.latents).scaling_factor)


def _autoencoder(plan: Plan) -> AutoencoderKL:
    """The trained autoencoder, with its first decoder."""
    return loop.averaged(VaeTask(plan.vae), plan.runs / VaeTask.name)


def _vae(plan: Plan) -> AutoencoderKL:
    """The trained autoencoder, with its sharper decoder."""
    task = _decoder_task(plan)
    loop.averaged(task, plan.runs / task.name)
    return task.vae
