"""Makes videos: a spec goes in, frames and a record of how they were made come out.

    made = generate(pipe, GenerationSpec("a robot is dancing in times square", seed=1))
    save(made, "outputs/robot.mp4")

Frames are uint8 [f h w c].
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2v_helpers.core import checking, files, video
from t2v_helpers.core.records import GenerationRecord, GenerationSpec, frames_hash
from t2v_helpers.machine import probe, rocm
from t2v_helpers.machine.device import peak_memory
from t2v_helpers.model.denoising import Step, check_given, decode_latents, steps
from t2v_helpers.model.pipeline import CoursePipeline, course_pipeline, fingerprint
from t2v_helpers.model.validation import check_all

SHOWN_PIXELS = 256  # smaller videos are enlarged when they are saved, so that a player shows them large enough to see


@dataclass(frozen=True)
class Generation:
    """A video and how it was made: frames uint8 [f h w c], and the record that stands beside the file.

    `save` writes both. diffusers' `export_to_video` takes fractions and makes a negative of uint8: give it
    frames / 255.
    """

    frames: np.ndarray
    record: GenerationRecord


def generate(
    pipe: CoursePipeline,
    spec: GenerationSpec,
    progress: Callable[[Step], object] | None = None,
    latents: Tensor | None = None,
) -> Generation:
    """Make one video; `progress` is called with each Step. latents [1 c f h w] stand in for the noise of the seed.

    Errors: those of validation.check; ValueError: latents of another shape, dtype or device, the first step or the
    result is not finite; MemoryError on the way.
    """
    pipe = course_pipeline(pipe)
    _check_progress(progress)
    specs = check_all(pipe, [spec], 1)
    check_given(pipe, specs[0], latents=latents)
    return _generate_part(pipe, specs, progress, latents)[0]


def generate_batch(
    pipe: CoursePipeline,
    specs: Sequence[GenerationSpec],
    batch_size: int = 4,
    progress: Callable[[Step], object] | None = None,
) -> list[Generation]:
    """Make a video for each spec, `batch_size` at a time; the specs differ in prompt, negative_prompt and seed alone.

    A sample's noise and its video are bit for bit the same in any batch, on one machine with one number of threads;
    elsewhere a value may differ by one grey level. A record's seconds are its share of the batch.
    Errors: see `generate`.
    """
    pipe, batch_size = course_pipeline(pipe), checking.whole("batch_size", batch_size)
    _check_progress(progress)
    specs = check_all(pipe, specs, batch_size)
    parts = [specs[i : i + batch_size] for i in range(0, len(specs), batch_size)]
    return [made for part in parts for made in _generate_part(pipe, part, progress)]


def _check_progress(progress: object) -> None:
    if progress is not None and not callable(progress):
        given = f"progress={checking.shown(progress)} is a {type(progress).__name__}"
        raise ValueError(f"{given}: give a function of a Step, such as print, or None.")


def _generate_part(
    pipe: CoursePipeline, specs: list[GenerationSpec], progress, latents: Tensor | None = None
) -> list[Generation]:
    device, weights, began = pipe.execution_device, fingerprint(pipe, latents), time.perf_counter()
    with peak_memory(device) as peak:
        videos = _frames(pipe, specs, progress, latents)  # [b f h w c]
    facts = {
        "model": pipe.name,
        "weights": weights,
        "dtype": str(pipe.unet.dtype).removeprefix("torch."),
        "device": str(device),
        "versions": probe.versions(),
        "seconds": (time.perf_counter() - began) / len(specs),
        "peak_memory_mib": peak.mib,
    }
    return [
        Generation(frames, GenerationRecord(spec, frames_sha256=frames_hash(frames), **facts))
        for spec, frames in zip(specs, videos, strict=True)
    ]


def _frames(pipe: CoursePipeline, specs: list[GenerationSpec], progress, latents: Tensor | None) -> np.ndarray:
    try:
        with explained(pipe.execution_device):
            for step in steps(pipe, specs, latents=latents):
                if progress:
                    progress(step)
            return decode_latents(pipe, step.latents)  # [b f h w c]
    finally:
        pipe.maybe_free_model_hooks()  # moves offloaded parts back to the CPU


@contextmanager
def explained(device: torch.device) -> Iterator[None]:
    """What a device says when it cannot go on, as advice: MemoryError, or ValueError where it lacks a kernel."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        message = f"{device} ran out of memory: ask for fewer or smaller frames, or a smaller batch."
        raise MemoryError(message) from error
    except RuntimeError as error:
        if advice := rocm.explain(str(error), probe.look_at_torch().gfx):
            what = f"{device} cannot run the model ({files.reason(error)})"
            raise ValueError(f"{what}: {advice}, or use the device cpu.") from error
        raise


def save(generation: Generation, path: str | Path, fps: int = video.FPS) -> Path:
    """Write the video as H.264 to `path` (.mp4), and beside it the record (.json) and a filmstrip (.png).

    Videos below 256 pixels are enlarged by a whole number. The record's hash is of the frames before that.
    Errors: ValueError (not .mp4, no Generation, see `check_beside`); see files.write_together.
    """
    checking.suffix("path", path, ".mp4")
    checking.kind("generation", generation, Generation, "what generate(pipe, spec) returns")
    check_beside(path)
    return write(generation, Path(path), fps)


def check_beside(path: str | Path) -> None:
    """ValueError where a filmstrip or a record at this name would replace files that are no video's."""
    beside = [Path(path).with_suffix(suffix) for suffix in (".png", ".json")]
    try:
        if any(map(files.is_file, beside)):
            GenerationRecord.load(path)
    except (ValueError, FileNotFoundError) as error:
        names = " and ".join(files.named(one.name) for one in beside)
        lost = f"{names}, which are not a video's filmstrip and record ({files.reason(error)})"
        raise ValueError(f"{checking.shown(str(path))} would replace {lost}: choose another name.") from error


def free_name(path: Path, record: GenerationRecord) -> Path:
    """`path`, or where a video of another model, LoRA or dtype has that name, one with these in it."""
    if not files.is_file(path.with_suffix(".json")):
        return path
    there = GenerationRecord.load(path)
    alike = (there.weights, there.dtype) == (record.weights, record.dtype)
    return path if alike else path.with_stem(f"{path.stem}-{record.weights}-{record.dtype}")


def write(generation: Generation, path: Path, fps: int = video.FPS) -> Path:
    """The same as `save`, in a folder whose files were looked at before. Errors: see files.write_together."""
    frames = generation.frames
    contents = {
        path: video.mp4_bytes(frames, fps=fps, scale=max(1, SHOWN_PIXELS // max(frames.shape[1:3]))),
        path.with_suffix(".png"): video.png_bytes(video.filmstrip(frames)),
        path.with_suffix(".json"): generation.record.to_json().encode(),  # last: with its record, a video is done
    }
    files.write_together(contents)
    return path
