"""Loads text-to-video pipelines by name (the guest of this module is diffusers).

    load("cartoon")      the small model that ships with the course; no network
    load("cartoon", fast=True)  its student, which takes few steps: sampling(pipe) says which
    load("modelscope")   ali-vilab/text-to-video-ms-1.7b, downloaded once, for a GPU
    load("some/folder")  any folder with a TextToVideoSDPipeline in it
    with_student(pipe, "some/folder")  a pipeline with a student of its own

Each is an ordinary TextToVideoSDPipeline. The UNet reads latents [b c f h w], a timestep and text [b t d], and gives
the noise back, [b c f h w]; a latent pixel stands for 8x8 pixels of the video. The dtype is always passed on: without
one, today's transformers reads the hub's text encoder in half precision and diffusers the rest in single precision.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from t2v_helpers import cartoon
from t2v_helpers.core import checking, files, video
from t2v_helpers.core.importing import quickly
from t2v_helpers.core.model_names import MODELS, WAN, Model
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import schedulers
from t2v_helpers.machine.device import free_memory_bytes, keep_freed_memory, pick_device, pick_dtype
from t2v_helpers.model import folders, hub, pipeline
from t2v_helpers.model import memory_plan as planning
from t2v_helpers.model.folders import KIND_OF, LATENT_SCALE, PARTS, manifests
from t2v_helpers.model.hub import LICENCE, MODELSCOPE, MODELSCOPE_SHAPES, REVISION  # noqa: F401  for those who load
from t2v_helpers.model.hub import WEIGHTS as MODELSCOPE_WEIGHTS  # noqa: F401
from t2v_helpers.model.pipeline import Base, CoursePipeline, course_pipeline

with quickly():
    import diffusers
    import transformers

CARTOON = MODELS["cartoon"].folder
GUIDANCE = {"cartoon": 4.0, "other": 9.0}  # 9 is ModelScope's own (Wang et al. 2023, arXiv 2308.06571)
FEW = {"ddim_trailing": 2, "lcm": 4}  # the steps of a student
MAX_FRAMES = 200  # the 25 s of ModelScope's model card, at 8 frames a second
MAX_PIXELS = 1024

_SLOW = "No GPU is seen, so modelscope runs on the processor, which is slow; `t2v info` says why."
WORKING = 1.25  # weights, and a quarter of them again: what 20 frames of 256x256 need while they are made


@dataclass(frozen=True)
class Defaults:
    """What a model makes when nothing else is asked: guidance scale, pixels, frames, and frames a second."""

    guidance: float
    height: int
    width: int
    frames: int
    fps: int


def load(
    name: str | Path,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    offline: bool | None = None,
    quiet: bool = False,
    memory: str | int | planning.Plan | None = None,
    fast: bool = False,
) -> CoursePipeline:
    """The pipeline of that name or folder on `device`, ready to generate; `pipe.model_name` says which it is.

    device, dtype: see pick_device and pick_dtype. offline=True takes what was downloaded before, and None:
    use $HF_HUB_OFFLINE. Unless quiet, stderr says size, licence and memory before a download, what `memory`
    led to, and that no GPU was found for modelscope.
    memory: "8GiB" say, in which 16 frames of the model's own size must fit, or a `plan` for others; what was chosen to
    save, and why, is kept in pipe.plan. None: use $T2V_MEMORY, as the notebooks do.
    fast: the student of that model, see `student_of`; `sampling` of it says how few steps it takes.
    Errors: ValueError (unknown name; no pipeline; weights that are cut short, changed or incomplete; a plan and another
    dtype), FileNotFoundError, ConnectionError (offline, no network), MemoryError and OSError (too little memory, disk).
    """
    checking.one_of("fast", fast, (True, False))
    student, folder = student_of(name) if fast else None, find(name).folder
    asked, device = device, pick_device(device)
    memory = os.environ.get("T2V_MEMORY") or None if memory is None else memory
    chosen = memory if isinstance(memory, planning.Plan | None) else plan(name, memory, device, dtype, fast=fast)
    dtype = _dtype(dtype, chosen, device)
    slow = folder is None and (str(asked), device.type) == ("auto", "cpu")
    for line in () if quiet else filter(None, (slow and _SLOW, chosen)):
        print(line, file=sys.stderr)
    if folder:
        pipe = _open(folder, dtype)
    else:
        pipe = _open_modelscope(dtype, offline, quiet, _check_room(device, dtype, chosen))
    pipe = _with_student(pipe, student) if student else pipe
    pipe.model_name = (str(name) if name in MODELS else folder.resolve().name) + " (fast)" * fast
    pipe.set_progress_bar_config(disable=True)
    pipe.plan = chosen
    options = chosen.options if chosen else planning.MemoryOptions(str(dtype), vae_slicing=not is_cartoon(pipe))
    return _place(pipe, options, device)


def _dtype(asked: str | torch.dtype, chosen: planning.Plan | None, device: torch.device) -> torch.dtype:
    """The plan's dtype where there is a plan. ValueError: another one was asked for."""
    dtype = pick_dtype(chosen.options.dtype if chosen else asked, device)
    if asked != "auto" and pick_dtype(asked) != dtype:
        given = f"dtype={checking.shown(asked)} is not the plan's {chosen.options.dtype}"
        raise ValueError(f"{given}: leave it out, or make a plan with it.")
    return dtype


def plan(
    name: str | Path,
    memory: str | int,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    frames: int = 16,
    height: int | None = None,
    width: int | None = None,
    fast: bool = False,
) -> planning.Plan:
    """How the model can make so many frames of that size (None: its own) in `memory`; nothing is loaded for it.

    fast: its student. With dtype "auto" the CPU takes bfloat16 where float32 is too much. Takes seconds. Errors: as
    `skeleton` and memory_plan.plan; ValueError: frames, height or width out of range.
    """
    gpu = pick_device(device).type == "cuda"
    auto = ("float16",) if gpu else ("float32", "bfloat16")
    dtypes = auto if dtype == "auto" else (str(pick_dtype(dtype)).removeprefix("torch."),)
    planning.parse_bytes(memory)
    bare = outline(name, fast)
    own = defaults(bare)
    height, width = own.height if height is None else height, own.width if width is None else width
    video.check_size(frames, height, width, size_multiple(bare), MAX_FRAMES, MAX_PIXELS)
    otherwise = "" if is_cartoon(bare) else ", or use the model 'cartoon'"
    return planning.plan(memory, frames, height, width, lambda *size: needs(name, *size, fast), dtypes, gpu, otherwise)


def needs(name: str | Path, frames: int, height: int, width: int, fast: bool = False) -> planning.Needs:
    """What the model needs for so many frames of that size in pixels, traced without weights. Errors: `skeleton`."""
    return planning.traced(skeleton(name, fast), frames, height // LATENT_SCALE, width // LATENT_SCALE)


def skeleton(name: str | Path, fast: bool = False) -> dict[str, torch.nn.Module]:
    """ "text_encoder", "unet" and "vae" of that name or folder on the meta device: all shapes, no weights, no download.

    fast: with the UNet of its student. Errors: ValueError (unknown name; no pipeline; a config that its class cannot
    read; those of `student_of`), FileNotFoundError.
    """
    if folder := find(name).folder:
        kinds = folders.kinds(folder)
        configs = folders.configs(folder, kinds)
    else:
        kinds, shipped = KIND_OF, {part: MODELSCOPE_SHAPES / f"{part}.json" for part in PARTS}
        configs = {part: folders.known(folders.read(shipped[part]), kinds[part], part) for part in PARTS}
    parts = {part: folders.bare(kinds[part], configs[part], name) for part in PARTS}
    return parts | ({"unet": folders.bare_student(student_of(name), SimpleNamespace(**parts))} if fast else {})


def outline(name: str | Path, fast: bool = False) -> SimpleNamespace:
    """A model before it is loaded: the parts of `skeleton`, and a pipeline's scheduler, tokenizer, student, new_words.

    tokenizer: None for modelscope, which may not be there yet. Errors: those of `load` that need no weights.
    """
    folder, parts = find(name).folder, skeleton(name, fast)
    if folder:
        others, words = pipeline.texts(folder, parts["text_encoder"].config), pipeline.words(folder)
    else:
        scheduler = folders.scheduler(MODELSCOPE_SHAPES / "scheduler.json")
        others, words = {"tokenizer": None, "scheduler": scheduler}, ()
    if fast:
        others["scheduler"] = folders.student_scheduler(student_of(name))
    student = schedulers.of_student(others["scheduler"])
    return SimpleNamespace(**parts, **others, student=student, new_words=words)


def defaults(pipe: CoursePipeline) -> Defaults:
    """What this pipeline makes when nothing else is asked."""
    pixels = pipe.unet.config.sample_size * LATENT_SCALE
    student = getattr(pipe, "student", "")  # which diffusers' own pipeline does not say
    guidance = 1.0 if student else GUIDANCE["cartoon" if is_cartoon(pipe) else "other"]
    return Defaults(guidance=guidance, height=pixels, width=pixels, frames=GenerationSpec.frames, fps=video.FPS)


def sampling(pipe: CoursePipeline) -> dict[str, Any]:
    """The fields of a spec in which a student needs others than everybody: its scheduler and its few steps."""
    return {"scheduler": pipe.student, "steps": FEW[pipe.student]} if pipe.student else {}


def is_cartoon(pipe: CoursePipeline) -> bool:
    """True for models of the cartoon world, the shipped one and those of `make train`: they are made for 64 pixels."""
    return pipe.unet.config.sample_size * LATENT_SCALE == cartoon.SIZE


def latent_channels(pipe: CoursePipeline) -> int:
    """c in latents [b c f h w]."""
    return pipe.unet.config.in_channels


def size_multiple(pipe: CoursePipeline) -> int:
    """Height and width must be multiples of this many pixels: the VAE's factor times the UNet's halvings."""
    return LATENT_SCALE * 2 ** (len(pipe.unet.config.block_out_channels) - 1)


# --- where a model lies

_USE = f"use {', '.join(map(repr, MODELS))} or the path of a folder"


def find(name: str | Path) -> Model:
    """The model of that name, or in that folder. ValueError: no such name; FileNotFoundError: no such folder."""
    if not isinstance(name, str | Path):
        raise ValueError(f"model={checking.shown(name)} is a {type(name).__name__}: {_USE}.")
    if name in MODELS:
        return MODELS[name]
    if files.is_folder(name):
        return Model(Path(name))
    if name == MODELSCOPE:
        raise ValueError(f"model={name!r} has a name of its own here: use 'modelscope'.")
    if name == WAN:
        raise ValueError(
            f"model={name!r} has no UNet, which is opened here: give it to notebook 14_after_modelscope or to "
            f"`t2v generate --model {WAN}`, and here {_USE}."
        )
    if isinstance(name, Path) or "/" in name or "\\" in name:
        raise FileNotFoundError(
            f"{checking.shown(str(name))} is no folder: give the path of a folder with a model_index.json in it."
        )
    return checking.one_of("model", name, MODELS, f"{_USE}.")


def student_of(name: str | Path) -> Path:
    """The folder of the student of that model: a UNet of few steps, distilled from its own, and a scheduler.

    ValueError: it has none; those of folders.check_student and `check_teacher`.
    """
    model = find(name)
    if not model.student or not files.is_folder(model.student):
        there = f" in {model.student} (`t2v train` makes it)" if model.student else ""
        raise ValueError(f"model={checking.shown(str(name))} has no student{there}: leave out fast, and use few steps.")
    folders.check_student(model.student)
    check_teacher(model.student, model.folder)
    return model.student


def check_teacher(student: str | Path, teacher: str | Path) -> None:
    """ValueError unless the student in one folder reads words by the text encoder of the model in the other.

    student: the folder of a student, or of a whole pipeline, which has a text encoder of its own.
    """
    folders.check_taught(Path(student), f"the model in {teacher}", folders.reads_by(Path(teacher)))


def with_student(pipe: CoursePipeline, folder: str | Path) -> CoursePipeline:
    """A pipeline of few steps: the UNet and the scheduler of a student, and all other parts of `pipe`, its teacher.

    folder: as `t2v train student` writes it. Errors: ValueError (not a pipeline; no student; one of another teacher, or
    made for other parts; damaged weights), FileNotFoundError (the manifest lists a file that is not there).
    """
    pipe, folder = course_pipeline(pipe), checking.path("folder", folder)
    folders.check_student(folder)
    folders.check_taught(folder, pipe.name, folders.digits(pipe.text_encoder.state_dict()))
    made = _with_student(pipe, folder)
    made.model_name = f"{pipe.name} (fast)"
    made.set_progress_bar_config(disable=True)
    return made


def _with_student(pipe: CoursePipeline, folder: Path) -> CoursePipeline:
    """The same, without a look at the text encoder, and without a name."""
    lent = {part: getattr(pipe, part) for part in folders.LENT}
    return _together(folder, pipe.new_words, **lent, **folders.student(folder, pipe))


def weights_of(name: str | Path) -> str:
    """What tells a model's weights from others: SHA-256 of its folder's manifest, or the revision on the hub.

    FileNotFoundError: the folder has no manifest.
    """
    folder = find(name).folder
    if folder is None:
        return REVISION
    if not (folder / manifests.MANIFEST).is_file():
        what = f"{files.no_file(folder / manifests.MANIFEST)}, and it names the weights"
        raise FileNotFoundError(f"{what}: manifests.write makes it.")
    return files.sha256(folder / manifests.MANIFEST)


def download(dtype: torch.dtype) -> Path:
    """modelscope's folder, fetched where it lacks something, every byte checked. Errors: those of hub.fetched."""
    repo = hub.modelscope(dtype)
    return hub.fetched(repo, None, int(WORKING * repo.size), quiet=False, check=True)


def _open_modelscope(dtype: torch.dtype, offline: bool | None, quiet: bool, working: int) -> CoursePipeline:
    """The hub's pipeline on the CPU, downloaded now if need be; `working` as for hub.fetched."""
    repo = hub.modelscope(dtype)
    folder = hub.fetched(repo, offline, working, quiet)
    try:
        return _open(folder, dtype)
    except ValueError as error:
        raise ValueError(str(error).replace(folders.AGAIN, repo.again)) from error


def _check_room(device: torch.device, dtype: torch.dtype, chosen: planning.Plan | None) -> int:
    """The bytes that using modelscope takes. MemoryError: there are fewer."""
    size = hub.modelscope(dtype).size
    working = chosen.needed if chosen else int(WORKING * size)
    for where, needed in {"cpu": size, str(device): working}.items():  # on its way to a GPU it passes through the CPU
        free = free_memory_bytes(where)
        if free < needed:
            raise MemoryError(
                f"{MODELSCOPE} needs {needed / 2**30:.1f} GiB of memory on {where}, but {free / 2**30:.1f} are free: "
                f"close other programs and notebooks, name what there is (memory='{free >> 20}MiB'), or use the model "
                "'cartoon'."
            )
    return working


# --- opening a folder


def _open(folder: Path, dtype: torch.dtype) -> CoursePipeline:
    """The pipeline in `folder` on the CPU, after all that can be wrong with the folder was looked at."""
    kinds = folders.kinds(folder)
    if (folder / manifests.MANIFEST).exists():
        manifests.check(folder)
    configs, stored = folders.configs(folder, kinds), folders.variant(folder, dtype, kinds)
    empty = {part: folders.bare(kind, configs[part], folder / part) for part, kind in kinds.items()}
    others, words = pipeline.texts(folder, empty["text_encoder"].config), pipeline.words(folder)
    for part, kind in kinds.items():
        folders.check_weights(folder / part, kind, stored, empty[part])
    parts = {
        part: folders.part(folder / part, kinds[part], dtype, stored, configs[part], empty[part]) for part in PARTS
    }
    return _together(folder, words, **parts, **others)


def _together(folder: Path, words: tuple[str, ...], **parts: Any) -> CoursePipeline:
    """The parts as a pipeline that knows what it was trained on, where it is from and which words it has learned."""
    with quiet_libraries():
        pipe = course_pipeline(Base(**parts))
    pipe.register_to_config(_name_or_path=str(folder))  # as from_pretrained does
    pipe.trained, pipe.new_words = schedulers.trained(pipe.scheduler.config), words
    pipe.student = schedulers.of_student(pipe.scheduler)
    return pipe


def _place(pipe: CoursePipeline, options: planning.MemoryOptions, device: torch.device) -> CoursePipeline:
    """Move the pipeline to its device, or let it go there part by part, and save memory as `options` say."""
    if options.vae_slicing:
        pipe.vae.enable_slicing()
    if options.in_pieces:
        planning.run_in_pieces(pipe.unet)
    if options.offload:
        pipe.enable_model_cpu_offload(device=device)
        return pipe
    return _move(pipe, device)


def _move(pipe: CoursePipeline, device: torch.device) -> CoursePipeline:
    if device.type == "cpu":
        keep_freed_memory()
        return pipe
    try:
        return pipe.to(device)
    except torch.OutOfMemoryError as error:
        for part in PARTS:  # those that had arrived go back: a notebook keeps the error, and with it the pipeline
            getattr(pipe, part).to("cpu")
        torch.cuda.empty_cache()
        raise MemoryError(
            f"{device} has too little memory for the model: name what it has, memory='8GiB' say, take the dtype "
            "float16 or the device cpu."
        ) from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No progress bars while a pipeline is built, and not the warning that diffusers no longer updates its class.

    The course's own tests hold that class. Nothing else is kept quiet, and all is as it was afterwards.
    """
    logger = logging.getLogger("diffusers.pipelines.pipeline_utils")
    barred = [lib for lib in (diffusers.utils.logging, transformers.utils.logging) if lib.is_progress_bar_enabled()]
    logger.addFilter(_not_deprecated)
    for lib in barred:
        lib.disable_progress_bar()
    try:
        yield
    finally:
        logger.removeFilter(_not_deprecated)
        for lib in barred:
            lib.enable_progress_bar()


def _not_deprecated(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("The TextToVideoSDPipeline has been deprecated")
