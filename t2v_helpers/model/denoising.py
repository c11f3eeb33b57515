"""The denoising loop: from noise to a clean latent, one call of the UNet at a time, with any scheduler.

    for step in denoise(pipe, spec): ...

It does what `pipe(prompt, ...)` of diffusers does, and the tests hold the two equal for every scheduler. The noise of a
sample depends on its own seed alone: with seed 7, `pipe(prompt, generator=seeding.generator(7))` gives the same video.
On another processor, or with another number of threads, sums are added in another order: a value of the video may
then differ by one grey level of 255, and its hash with it.

Shapes: latents [b c f h w] (h and w in latent pixels, 8 pixels of the video each), text [2 t d], frames [f h w c].
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2v_helpers.core import checking, layout, seeding
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import noise, schedulers
from t2v_helpers.model import loading
from t2v_helpers.model.pipeline import CoursePipeline, course_pipeline
from t2v_helpers.model.validation import check, resolve


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


@torch.no_grad()
def encode_prompt(pipe: CoursePipeline, spec: GenerationSpec) -> Tensor:
    """What the text encoder makes of the words, [2 t d]: the negative prompt first, then the prompt."""
    pipe = course_pipeline(pipe)
    words = {"prompt": spec.prompt, "negative_prompt": spec.negative_prompt}
    prompt, negative = pipe.encode_prompt(
        **words, device=pipe.execution_device, num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    return torch.cat([negative, prompt])  # [2 t d]


def latent_shape(pipe: CoursePipeline, spec: GenerationSpec) -> tuple[int, int, int, int]:
    """(c, f, h, w) of a resolved spec's latents."""
    height, width = spec.height // loading.LATENT_SCALE, spec.width // loading.LATENT_SCALE
    return loading.latent_channels(pipe), spec.frames, height, width


def initial_latents(pipe: CoursePipeline, specs: Sequence[GenerationSpec]) -> Tensor:
    """Standard normal noise [b c f h w], sample i from the seed of specs[i] alone, on the pipeline's device.

    It is drawn in float32 on the CPU whatever the pipeline runs in, so that a seed means the same everywhere. Give it
    to `pipe(..., latents=...)` as it is: pipeline and loop both scale it by the scheduler's init_noise_sigma.
    """
    pipe = course_pipeline(pipe)
    shape = latent_shape(pipe, resolve(pipe, specs[0]))
    return seeding.noise([spec.seed for spec in specs], shape).to(pipe.execution_device, pipe.unet.dtype)


@torch.no_grad()
def decode_latents(pipe: CoursePipeline, latents: Tensor) -> np.ndarray:
    """Latents [b c f h w] to frames, uint8 [b f h w c]; one video at a time, so a batch changes nothing.

    ValueError: the decoded values are not finite.
    """
    videos = torch.cat([pipe.decode_latents(x) for x in latents.split(1)])  # [b c f h w]
    return layout.to_uint8(videos.cpu(), _not_finite(pipe, "the video")).numpy()


def denoise(
    pipe: CoursePipeline, spec: GenerationSpec, text: Tensor | None = None, latents: Tensor | None = None
) -> Iterator[Step]:
    """Go from noise to a clean latent and yield every step; the last step's latents are what the VAE decodes.

    text [2 t d], negative first, stands in for the spec's words, latents [1 c f h w], standard normal, for the noise of
    its seed. The spec is validated when this is called, not when the first step is asked for. The pipeline's own
    scheduler is left alone. Errors: see validation.check.
    """
    pipe = course_pipeline(pipe)
    spec = check(pipe, spec)
    check_given(pipe, spec, text, latents)
    return steps(pipe, [spec], None if text is None else [text], latents)


def check_given(
    pipe: CoursePipeline, spec: GenerationSpec, text: Tensor | None = None, latents: Tensor | None = None
) -> None:
    """ValueError unless `text` and `latents`, where given, are as `denoise` wants them for a resolved spec."""
    needed = {"latents": (1, *latent_shape(pipe, spec)), "text": (2, None, pipe.unet.config.cross_attention_dim)}
    unet, device = pipe.unet, pipe.execution_device
    for name, x in {"latents": latents, "text": text}.items():
        if x is None:
            continue
        checking.kind(name, x, Tensor, "a tensor")
        sizes = [size or found for size, found in zip(needed[name], x.shape, strict=False)]
        if (list(x.shape), x.dtype, x.device.type) != (sizes, unet.dtype, device.type) or not x.isfinite().all():
            raise ValueError(f"{name} is {_shown(x)}: use finite {unet.dtype} on {device}, of shape {needed[name]}.")


def _shown(x: Tensor) -> str:
    return f"{x.dtype} on {x.device}, of shape {tuple(x.shape)}"


@torch.no_grad()
def steps(
    pipe: CoursePipeline,
    specs: Sequence[GenerationSpec],
    texts: Sequence[Tensor] | None = None,
    latents: Tensor | None = None,
    together: bool = False,
) -> Iterator[Step]:
    """Classifier-free guided denoising of a batch of checked specs: Ho & Salimans 2022, algorithm 2.

    texts, latents: see `denoise`; one text for each spec. together: the UNet sees the whole batch at once. Otherwise it
    sees one sample at a time: in a batch matrix products add in another order, so a video would depend on the others.
    """
    spec, device = specs[0], pipe.execution_device
    scheduler = schedulers.make(spec.scheduler, pipe.scheduler.config)
    scheduler.set_timesteps(spec.steps, device=device)
    texts = [encode_prompt(pipe, one) for one in specs] if texts is None else texts  # [2 t d] each
    groups = [torch.stack(list(texts), dim=1).flatten(0, 1)] if together else texts  # [(2 b) t d] each
    predict = [pipe.predictor(pipe.unet, text, spec.guidance) for text in groups]
    noises = initial_latents(pipe, specs) if latents is None else latents
    latents = noises * scheduler.init_noise_sigma  # [b c f h w]
    extra = _step_noise(specs, latents)
    for index, t in enumerate(scheduler.timesteps):
        x_t = scheduler.scale_model_input(latents, t)
        noise_pred = torch.cat([one(x, t) for one, x in zip(predict, x_t.chunk(len(predict)), strict=True)])
        if index == 0 and not noise_pred.isfinite().all():  # later steps cannot recover
            raise ValueError(_not_finite(pipe, "the first step"))
        latents = _step(scheduler, noise_pred, t, latents, extra)
        x_0 = noise.x_0_from_eps(x_t, noise_pred, _alphas_cumprod(scheduler, t))
        yield Step(index, len(scheduler.timesteps), float(t), latents, noise_pred, x_0)


def _not_finite(pipe: CoursePipeline, what: str) -> str:
    """What to say where a value is NaN or infinite: what made it so, a LoRA or a dtype, and what to do."""
    run = f"{str(pipe.unet.dtype).removeprefix('torch.')} on {pipe.execution_device}"
    ways = []
    if pipe.unet.dtype != torch.float32:
        ways.append("take another dtype, float32 is the surest, and see what `t2v info` says of them")
    if pipe.added:
        which, there = f"the LoRA of {checking.shown(pipe.name)}", "peft_config" in vars(pipe.unet)  # or it is merged
        less = f"scale {which} down with lora.scaled, or remove it with lora.remove"
        ways.append(less if there else f"load the model without {which}")
    way = "; or ".join(ways) or "ask for less guidance, or load the model again if it was changed"
    return f"{what} in {run} has NaN or infinite values: {way}."


def guided(pipe: CoursePipeline, spec: GenerationSpec) -> Callable[[Tensor, float], Tensor]:
    """What a sampler asks: a function of x_t [1 c f h w] and the timestep t that gives the guided noise, as x_t.

    The words and the guidance are the spec's; the text is encoded once, here. Errors: see `check`.
    """
    pipe = course_pipeline(pipe)
    spec = check(pipe, spec)
    predict = pipe.predictor(pipe.unet, encode_prompt(pipe, spec), spec.guidance)

    @torch.no_grad()
    def guided_noise(x_t: Tensor, t: float) -> Tensor:
        return predict(x_t, torch.as_tensor(t, device=x_t.device))

    return guided_noise


def _step(scheduler: schedulers.SchedulerMixin, noise_pred: Tensor, t: Tensor, latents: Tensor, extra: dict) -> Tensor:
    """One step of the scheduler, on images [(b f) c h w], as the pipeline of diffusers takes it."""
    with _numbers_in_float32():
        images = scheduler.step(layout.fold_frames(noise_pred), t, layout.fold_frames(latents), **extra).prev_sample
    return layout.unfold_frames(images, len(latents))  # [b c f h w]


@contextmanager
def _numbers_in_float32() -> Iterator[None]:
    """Whatever torch's default is: UniPC makes tensors of plain numbers, and float64 would not go with its others."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _step_noise(specs: list[GenerationSpec], latents: Tensor) -> dict:
    """For a scheduler that draws noise at each step: every sample's generator, gone past its initial noise."""
    if specs[0].scheduler not in schedulers.STOCHASTIC:
        return {}
    generators = [seeding.generator(spec.seed) for spec in specs]
    for generator in generators:
        seeding.draw(generator, latents.shape[1:])
    return {"generator": [generator for generator in generators for _ in range(latents.shape[2])]}  # one an image


def _alphas_cumprod(scheduler: schedulers.SchedulerMixin, t: Tensor) -> Tensor:
    """abar_t; where t lies between two training steps, sigma is interpolated, as Euler, Heun and LMS do."""
    sigmas = noise.sigma(scheduler.alphas_cumprod.double().cpu())  # [1000]
    below = min(int(t), len(sigmas) - 2)
    between = torch.lerp(sigmas[below], sigmas[below + 1], float(t) - below)
    return (1 / (between**2 + 1)).to(t.device, torch.float32)
