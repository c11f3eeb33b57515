"""Makes videos: a spec goes in, frames and a record of how they were made come out.

    made = generate(pipe, GenerationSpec("a robot is dancing in times square", seed=1))
    save(made, "outputs/robot.mp4")

There is one denoising loop, `denoise`, and `generate` consumes it. It does what `pipe(prompt, ...)` of diffusers does,
and the tests hold the two equal for every scheduler. The noise of a sample depends on its own seed alone: with seed 7,
`pipe(prompt, generator=seeding.generator(7))` gives the same video.

Shapes: latents [b c f h w] (h and w in latent pixels, 8 pixels of the video each), text [2 t d], frames [f h w c].
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import SchedulerMixin
from torch import Tensor

from t2v_helpers.core import files, layout, seeding, video
from t2v_helpers.core.records import GenerationRecord, GenerationSpec, frames_hash
from t2v_helpers.diffusion import noise, schedulers
from t2v_helpers.inside import tracing
from t2v_helpers.inside.feature_reuse import Predict
from t2v_helpers.inside.feature_reuse import guided as both_halves
from t2v_helpers.machine import probe, rocm
from t2v_helpers.machine.device import free_memory_bytes, peak_memory
from t2v_helpers.model import loading
from t2v_helpers.model.loading import MAX_FRAMES, MAX_PIXELS
from t2v_helpers.model.pipeline import TextToVideoSDPipeline, check_pipe

MAX_GUIDANCE = 100.0
SHOWN_PIXELS = 256  # smaller videos are enlarged when they are saved, so that a player shows more than a stamp


@dataclass(frozen=True)
class Generation:
    """A video and how it was made: frames uint8 [f h w c], and the record that stands beside the file."""

    frames: np.ndarray
    record: GenerationRecord


@dataclass(frozen=True)
class Step:
    """One call of the UNet. `index` counts from 0 to `total` - 1; Heun calls twice a step, so total is not spec.steps.

    latents [b c f h w] is where the step arrives, in the scheduler's own scale; noise_pred [b c f h w] is the guided
    noise; x_0 [b c f h w] is the clean latent it points to: (x_t - sqrt(1 - abar_t) eps) / sqrt(abar_t), Ho et al.
    2020, eq. 15. For `denoise`, b is 1.
    """

    index: int
    total: int
    timestep: float
    latents: Tensor
    noise_pred: Tensor
    x_0: Tensor


# --- asking


def check(pipe: TextToVideoSDPipeline, spec: GenerationSpec) -> GenerationSpec:
    """Hold a spec against the model, before any computing, and give it back with every default filled in.

    ValueError: which value is wrong, what is allowed. MemoryError: the memory it takes and what is free.
    """
    return _check_all(pipe, [spec], batch=1)[0]


def check_early(name: str | Path, spec: GenerationSpec) -> None:
    """Hold a spec against a model that is not there yet, so that a wrong number is told before a download.

    ValueError: scheduler, guidance, seed, frames, height or width; those of loading.skeleton.
    `check` looks at the rest.
    """
    bare = SimpleNamespace(unet=loading.skeleton(name)["unet"])
    _check_numbers(bare, resolve(bare, spec))
    seeding.check_seed(spec.seed)


def resolve(pipe: TextToVideoSDPipeline, spec: GenerationSpec) -> GenerationSpec:
    """The spec with the model's own guidance, height and width where it says None."""
    model = loading.defaults(pipe)
    empty = [name for name in ("guidance", "height", "width") if getattr(spec, name) is None]
    return replace(spec, **{name: getattr(model, name) for name in empty})


def memory_needed(pipe: TextToVideoSDPipeline, spec: GenerationSpec, batch: int = 1) -> int:
    """Bytes that a resolved spec takes beside the weights, about: the UNet's or the VAE's peak, whichever is more.

    The two factors count the widest layer's activations that are alive at once; they were found by tracing
    ModelScope's allocations, UNet with both halves of guidance, VAE a frame at a time.
    """
    pixels = spec.height * spec.width
    latents = 2 * batch * spec.frames * pixels // loading.LATENT_SCALE**2
    decoded = 1 if pipe.vae.use_slicing else spec.frames
    unet = 33 * pipe.unet.config.block_out_channels[0] * latents
    vae = 6 * pipe.vae.config.block_out_channels[0] * decoded * pixels
    return max(unet, vae) * pipe.unet.dtype.itemsize


def _check_all(pipe: TextToVideoSDPipeline, specs: Sequence[GenerationSpec], batch: int) -> list[GenerationSpec]:
    """The specs, resolved. They share all but words and seeds, so what they share is checked once."""
    check_kinds(pipe, specs)
    if not specs:
        raise ValueError("specs is empty: give at least one GenerationSpec.")
    specs = [resolve(pipe, spec) for spec in specs]
    _check_numbers(pipe, specs[0])
    schedulers.check_steps(specs[0].scheduler, specs[0].steps, pipe.scheduler.config)
    _check_memory(pipe, specs[0], min(batch, len(specs)))
    for spec in specs:
        _check_alike(spec, specs[0])
        loading.check_prompt(pipe, spec.prompt)
        loading.check_prompt(pipe, spec.negative_prompt, "negative_prompt")
        seeding.check_seed(spec.seed)
    return specs


def check_kinds(pipe: TextToVideoSDPipeline, specs: Sequence[GenerationSpec]) -> None:
    """ValueError unless pipe is a text-to-video pipeline, its predictor is one, and specs a list of GenerationSpec."""
    check_pipe(pipe)
    made = getattr(pipe, "predictor", both_halves)
    if not callable(made) or isinstance(made, type):
        raise ValueError(f"pipe.predictor={made!r} is no predictor: give Shortcuts(reuse=3), or del pipe.predictor.")
    if not isinstance(specs, Sequence):
        raise ValueError(f"specs is a {type(specs).__name__}: give a list of GenerationSpec.")
    for spec in specs:
        if not isinstance(spec, GenerationSpec):
            raise ValueError(f'spec is a {type(spec).__name__}: give GenerationSpec("a dog is dancing").')


def _check_alike(spec: GenerationSpec, first: GenerationSpec) -> None:
    alike = replace(first, prompt=spec.prompt, negative_prompt=spec.negative_prompt, seed=spec.seed).to_dict()
    for name, value in spec.to_dict().items():
        if value != alike[name]:
            raise ValueError(
                f"specs of one batch differ in {name} ({alike[name]} and {value}): "
                "only prompt, negative_prompt and seed may; make one batch for each."
            )


def _check_numbers(pipe: TextToVideoSDPipeline, spec: GenerationSpec) -> None:
    schedulers.check_name(spec.scheduler)
    if not 1 <= spec.guidance <= MAX_GUIDANCE:  # NaN fails this, too; below 1 diffusers would do as for 1, and not say
        raise ValueError(f"guidance={spec.guidance} is out of range: use 1 to {MAX_GUIDANCE:g}.")
    size = spec.frames, spec.height, spec.width
    tracing.check_size(*size, loading.size_multiple(pipe), MAX_FRAMES, MAX_PIXELS)


def _check_memory(pipe: TextToVideoSDPipeline, spec: GenerationSpec, batch: int) -> None:
    needed, free = memory_needed(pipe, spec, batch), free_memory_bytes(pipe._execution_device)
    if needed > free:
        raise MemoryError(
            f"frames={spec.frames} of {spec.height}x{spec.width} in a batch of {batch} need about "
            f"{needed / 2**30:.1f} GiB beside the model, but {free / 2**30:.1f} are free: ask for fewer or smaller."
        )


# --- the parts of a generation


@torch.no_grad()
def encode_prompt(pipe: TextToVideoSDPipeline, spec: GenerationSpec) -> Tensor:
    """What the text encoder makes of the words, [2 t d]: the negative prompt first, then the prompt."""
    words = {"prompt": spec.prompt, "negative_prompt": spec.negative_prompt}
    prompt, negative = pipe.encode_prompt(
        **words, device=pipe._execution_device, num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    return torch.cat([negative, prompt])  # [2 t d]


def latent_shape(pipe: TextToVideoSDPipeline, spec: GenerationSpec) -> tuple[int, int, int, int]:
    """(c, f, h, w) of a resolved spec's latents."""
    height, width = spec.height // loading.LATENT_SCALE, spec.width // loading.LATENT_SCALE
    return loading.latent_channels(pipe), spec.frames, height, width


def initial_latents(pipe: TextToVideoSDPipeline, specs: Sequence[GenerationSpec]) -> Tensor:
    """Standard normal noise [b c f h w], sample i from the seed of specs[i] alone, on the pipeline's device.

    It is drawn in float32 on the CPU whatever the pipeline runs in, so that a seed means the same everywhere. Give it
    to `pipe(..., latents=...)` as it is: pipeline and loop both scale it by the scheduler's init_noise_sigma.
    """
    shape = latent_shape(pipe, resolve(pipe, specs[0]))
    return seeding.noise([spec.seed for spec in specs], shape).to(pipe._execution_device, pipe.unet.dtype)


@torch.no_grad()
def decode_latents(pipe: TextToVideoSDPipeline, latents: Tensor) -> np.ndarray:
    """Latents [b c f h w] to frames, uint8 [b f h w c]; one video at a time, so a batch changes nothing.

    ValueError: the decoded values are not finite.
    """
    videos = torch.cat([pipe.decode_latents(x) for x in latents.split(1)])  # [b c f h w]
    return layout.to_uint8(videos.cpu()).numpy()


def denoise(pipe: TextToVideoSDPipeline, spec: GenerationSpec) -> Iterator[Step]:
    """Go from noise to a clean latent and yield every step; the last step's latents are what the VAE decodes.

    The spec is checked when this is called, not when the first step is asked for. The pipeline's own scheduler is
    left alone. Errors: see `check`.
    """
    return _loop(pipe, [check(pipe, spec)])


@torch.no_grad()
def _loop(pipe: TextToVideoSDPipeline, specs: list[GenerationSpec]) -> Iterator[Step]:
    """Classifier-free guided denoising of a batch: Ho & Salimans 2022, algorithm 2, with any scheduler."""
    spec, device = specs[0], pipe._execution_device
    scheduler = schedulers.make(spec.scheduler, pipe.scheduler.config)
    scheduler.set_timesteps(spec.steps, device=device)
    predict = [predictor(pipe, encode_prompt(pipe, one), spec.guidance) for one in specs]  # text [2 t d] each
    latents = initial_latents(pipe, specs) * scheduler.init_noise_sigma  # [b c f h w]
    extra = _step_noise(specs, latents)
    for index, t in enumerate(scheduler.timesteps):
        x_t = scheduler.scale_model_input(latents, t)
        # One sample at a time: in a larger batch the matrix products add in another order, and a video would depend
        # on its neighbours.
        noise_pred = torch.cat([one(x, t) for one, x in zip(predict, x_t.split(1), strict=True)])  # [b c f h w]
        if index == 0:
            _check_first_step(pipe, noise_pred)
        latents = _step(scheduler, noise_pred, t, latents, extra)
        x_0 = noise.x_0_from_eps(x_t, noise_pred, _alphas_cumprod(scheduler, t))
        yield Step(index, len(scheduler.timesteps), float(t), latents, noise_pred, x_0)


def _check_first_step(pipe: TextToVideoSDPipeline, noise_pred: Tensor) -> None:
    """What is not finite in the first step stays so: said at once, not after the last step. ValueError."""
    if not torch.isfinite(noise_pred).all():
        run = f"{str(pipe.unet.dtype).removeprefix('torch.')} on {noise_pred.device}"
        raise ValueError(
            f"the first step in {run} gives NaN or infinite values: take another dtype, float32 is the surest, "
            "and see what `t2v info` says of them."
        )


def predictor(pipe: TextToVideoSDPipeline, text: Tensor, guidance: float) -> Predict:
    """How this pipeline predicts the guided noise of one video, for text [2 t d]: `pipe.predictor`, if it has one."""
    return getattr(pipe, "predictor", both_halves)(pipe.unet, text, guidance)


def guided(pipe: TextToVideoSDPipeline, spec: GenerationSpec) -> Callable[[Tensor, float], Tensor]:
    """What a sampler asks: a function of x_t [1 c f h w] and the timestep t that gives the guided noise, as x_t.

    The words and the guidance are the spec's; the text is encoded once, here. Errors: see `check`.
    """
    spec = check(pipe, spec)
    predict = predictor(pipe, encode_prompt(pipe, spec), spec.guidance)

    @torch.no_grad()
    def guided_noise(x_t: Tensor, t: float) -> Tensor:
        return predict(x_t, torch.as_tensor(t, device=x_t.device))

    return guided_noise


def _step(scheduler: SchedulerMixin, noise_pred: Tensor, t: Tensor, latents: Tensor, extra: dict) -> Tensor:
    """One step of the scheduler, on images [(b f) c h w], as the pipeline of diffusers takes it."""
    images = scheduler.step(layout.fold_frames(noise_pred), t, layout.fold_frames(latents), **extra).prev_sample
    return layout.unfold_frames(images, len(latents))  # [b c f h w]


def _step_noise(specs: list[GenerationSpec], latents: Tensor) -> dict:
    """For a scheduler that draws noise at each step: every sample's generator, gone past its initial noise."""
    if specs[0].scheduler not in schedulers.STOCHASTIC:
        return {}
    generators = [seeding.generator(spec.seed) for spec in specs]
    for generator in generators:
        torch.randn(latents.shape[1:], generator=generator)
    return {"generator": [generator for generator in generators for _ in range(latents.shape[2])]}  # one an image


def _alphas_cumprod(scheduler: SchedulerMixin, t: Tensor) -> Tensor:
    """abar_t; where t lies between two training steps, sigma is interpolated, as Euler, Heun and LMS do."""
    sigmas = noise.sigma(scheduler.alphas_cumprod.double().cpu())  # [1000]
    below = min(int(t), len(sigmas) - 2)
    between = torch.lerp(sigmas[below], sigmas[below + 1], float(t) - below)
    return (1 / (between**2 + 1)).to(t.device, torch.float32)


# --- making and keeping


def generate(
    pipe: TextToVideoSDPipeline, spec: GenerationSpec, progress: Callable[[Step], object] | None = None
) -> Generation:
    """Make one video; `progress` is called with each Step.

    Errors: those of `check`; ValueError if the first step or what comes out is not finite; MemoryError if memory runs
    out on the way.
    """
    return generate_batch(pipe, [spec], 1, progress)[0]


def generate_batch(
    pipe: TextToVideoSDPipeline,
    specs: Sequence[GenerationSpec],
    batch_size: int = 4,
    progress: Callable[[Step], object] | None = None,
) -> list[Generation]:
    """Make a video for each spec, `batch_size` at a time; the specs differ in prompt, negative_prompt and seed alone.

    A sample's noise and its video are bit for bit the same in any batch. A record's seconds are its share of the batch.
    Errors: see `generate`.
    """
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r} is not allowed: use a whole number, 1 or more.")
    specs = _check_all(pipe, specs, batch_size)
    parts = [specs[i : i + batch_size] for i in range(0, len(specs), batch_size)]
    return [made for part in parts for made in _generate_part(pipe, part, progress)]


def _generate_part(pipe: TextToVideoSDPipeline, specs: list[GenerationSpec], progress) -> list[Generation]:
    began, device = time.perf_counter(), pipe._execution_device
    with peak_memory(device) as peak:
        videos = _frames(pipe, specs, progress)  # [b f h w c]
    facts = {
        "model": loading.name_of(pipe),
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


def _frames(pipe: TextToVideoSDPipeline, specs: list[GenerationSpec], progress) -> np.ndarray:
    try:
        for step in _loop(pipe, specs):
            if progress:
                progress(step)
        return decode_latents(pipe, step.latents)  # [b f h w c]
    except torch.OutOfMemoryError as error:
        message = f"{pipe._execution_device} ran out of memory: ask for fewer or smaller frames, or a smaller batch."
        raise MemoryError(message) from error
    except RuntimeError as error:
        _explain(error, pipe._execution_device)
        raise
    finally:
        pipe.maybe_free_model_hooks()  # a pipeline that offloads its parts sends them home


def _explain(error: RuntimeError, device: torch.device) -> None:
    """ValueError with what to do, where a GPU gave the error for want of kernels; any other is left alone."""
    advice = rocm.explain(str(error), probe.look_at_torch().gfx)
    if advice:
        raise ValueError(f"{device} cannot run the model ({files.reason(error)}): {advice}, or use the device cpu."
                         ) from error  # fmt: skip


def save(generation: Generation, path: str | Path, fps: int = loading.FPS) -> Path:
    """Write the video as H.264 to `path` (.mp4), and beside it the record (.json) and a filmstrip (.png).

    Videos below 256 pixels are enlarged by a whole number. The record's hash is of the frames before that.
    Errors: ValueError (not .mp4); see files.write_together.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path={str(path)!r} does not end in .mp4: give the video's file that ending.")
    frames = generation.frames
    contents = {
        path: video.mp4_bytes(frames, fps=fps, scale=max(1, SHOWN_PIXELS // max(frames.shape[1:3]))),
        path.with_suffix(".png"): video.png_bytes(video.filmstrip(frames)),
        path.with_suffix(".json"): generation.record.to_json().encode(),  # last: with its record, a video is done
    }
    files.write_together(contents)
    return path
