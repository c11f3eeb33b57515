"""Wan 2.1 T2V 1.3B through its own pipeline of diffusers: Apache-2.0, so free for commercial use.

    pipe = wan.load()                                    # downloaded once, for a GPU
    made = wan.generate(pipe, wan.spec("a robot is dancing on the moon", seed=1))

It is no CoursePipeline, and has nothing in it that one could open there: no UNet, no noise schedule of betas, no CLIP.
Here it makes videos, and that is all. Its record says in words what a spec of the course would: the scheduler is
the folder's own, "unipc" along a flow. Wan Team 2025, arXiv 2503.20314.
"""

import hashlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from diffusers import WanPipeline

from t2v_helpers.core import checking, files, layout, paths, seeding, video
from t2v_helpers.core.model_names import WAN
from t2v_helpers.core.records import GenerationRecord, GenerationSpec, frames_hash
from t2v_helpers.inside import identity
from t2v_helpers.machine import probe
from t2v_helpers.machine.device import GIB, free_memory_bytes, peak_memory, pick_device, pick_dtype
from t2v_helpers.model import hub, validation
from t2v_helpers.model.generate import Generation, explained
from t2v_helpers.model.later import wan_folder
from t2v_helpers.model.later.published import MODELS, Clip
from t2v_helpers.model.loading import quiet_libraries

MODEL = MODELS["wan2.1"]
PUBLISHED = files.read_json(paths.PACKAGE / "model" / "later" / "wan.json")
REPOSITORY = hub.Repository(PUBLISHED["name"], PUBLISHED["revision"], PUBLISHED["licence"],
                            f"t2v download --model {WAN}", PUBLISHED["files"])  # fmt: skip
SCHEDULER, STEPS, GUIDANCE = "unipc", 50, 5.0  # of the folder, and of WanPipeline where nothing else is asked
FPS = MODEL.clip.fps
_SLOW = f"No GPU is seen, so {WAN} runs on the processor, which is very slow; `t2v info` says why."


def spec(prompt: str, **given) -> GenerationSpec:
    """A GenerationSpec of what Wan makes unless asked otherwise: its own clip, 50 guided steps. Errors: see records."""
    own = {"scheduler": SCHEDULER, "steps": STEPS, "guidance": GUIDANCE, "frames": MODEL.clip.frames}
    return GenerationSpec(prompt, **own | {"height": MODEL.clip.height, "width": MODEL.clip.width} | given)


def fetch(offline: bool | None = None, quiet: bool = False, check: bool = False) -> Path:
    """Its folder in the local cache, downloaded now if need be: 29 GB. Errors: see hub.fetched."""
    return hub.fetched(REPOSITORY, offline, size(torch.bfloat16), quiet, check)


def size(dtype: torch.dtype) -> int:
    """Bytes of its weights: text encoder and denoiser in `dtype`, VAE in float32."""
    each = {"vae": torch.float32.itemsize}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in MODEL.parts().items()}
    return sum(count * each.get(name, dtype.itemsize) for name, count in counts.items())


def load(
    folder: str | Path | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    offline: bool | None = None,
    quiet: bool = False,
) -> WanPipeline:
    """The pipeline, ready to generate; None: the published one. On a GPU its parts come from the CPU one by one.

    dtype: bfloat16 on a GPU, float32 on a CPU. Errors: ValueError (a folder that is no Wan 2.1, or damaged; float16),
    ConnectionError, MemoryError, OSError (too little memory, disk).
    """
    asked, device = device, pick_device(device)
    dtype = _dtype(dtype, device)
    if not quiet and (str(asked), device.type) == ("auto", "cpu"):
        print(_SLOW, file=sys.stderr)
    if folder is None:
        _check_room(size(dtype))
        folder = fetch(offline, quiet)
    with quiet_libraries():
        pipe = wan_folder.read(Path(folder), dtype, PUBLISHED["files"]["tokenizer/tokenizer.json"])
    pipe.set_progress_bar_config(disable=True)
    if device.type != "cpu":
        pipe.enable_model_cpu_offload(device=device)
    return pipe


def refuse(**options) -> None:
    """ValueError for the first option that is given: it works on a UNet."""
    if asked := [name for name, value in options.items() if value]:
        raise ValueError(f"{asked[0]} works on a UNet, and {WAN} has none: leave it out, or name another model.")


def maker(spec: GenerationSpec, *where) -> Callable[[Callable], Generation]:
    """`generate` of a spec by a model that was loaded for it; `where`: device, dtype and offline, as for `load`."""
    check_early(spec)
    return partial(generate, load(None, *where), spec)


def _dtype(asked: str | torch.dtype, device: torch.device) -> torch.dtype:
    auto = "float32" if device.type == "cpu" else "bfloat16"
    dtype = pick_dtype(auto if asked == "auto" else asked)
    if dtype is torch.float16:
        raise ValueError(f"dtype='float16' is not allowed: {WAN} is published for bfloat16; use that, or float32.")
    return dtype


def _check_room(needed: int) -> None:
    if free_memory_bytes() < needed:
        raise MemoryError(
            f"{REPOSITORY.name} needs {needed / GIB:.1f} GiB of memory, but {free_memory_bytes() / GIB:.1f} are free: "
            "close other programs and notebooks, or use the model 'cartoon'."
        )


def check_early(spec: GenerationSpec) -> None:
    """ValueError for a spec that Wan cannot make: which value is wrong, what is allowed. OSError: no ffmpeg."""
    video.check_encoder()
    _check_spec(spec)


def _check_spec(spec: GenerationSpec) -> None:
    seeding.check_seed(spec.seed)
    validation.check_text(spec.prompt, "prompt")
    validation.check_text(spec.negative_prompt, "negative_prompt")
    checking.one_of("scheduler", spec.scheduler, (SCHEDULER,), "Wan keeps its folder's own, 'unipc' along a flow.")
    checking.whole("steps", spec.steps, 1, validation.MAX_STEPS)
    checking.number("guidance", spec.guidance, 1, validation.MAX_GUIDANCE)
    MODEL.latent_shape(Clip(spec.frames, spec.height, spec.width, FPS))


def check(pipe: WanPipeline, spec: GenerationSpec) -> None:
    """ValueError: a spec that Wan cannot make, more tokens than it reads; those of validation.check_torch."""
    validation.check_torch()
    _check_spec(spec)
    for argument in ("prompt", "negative_prompt"):
        count = len(pipe.tokenizer(getattr(spec, argument), verbose=False).input_ids)
        if count > wan_folder.ROOM:
            raise ValueError(f"{argument} has {count} tokens, but {wan_folder.ROOM} fit: shorten it.")


def generate(pipe: WanPipeline, spec: GenerationSpec, progress: Callable[[int], object] | None = None) -> Generation:
    """Make one video; `progress` gets the number of each step that is done. The noise depends on the seed alone.

    Errors: those of `check`; MemoryError; ValueError where a value of the video is not finite.
    """
    check(pipe, spec)
    began, device = time.perf_counter(), pipe._execution_device
    with peak_memory(device) as peak, explained(device):
        frames = _frames(pipe, spec, progress)  # [f h w c]
    facts = {"model": WAN, "weights": fingerprint(pipe), "dtype": str(pipe.text_encoder.dtype).removeprefix("torch."),
             "device": str(device), "versions": probe.versions(), "seconds": time.perf_counter() - began,
             "peak_memory_mib": peak.mib}  # fmt: skip
    return Generation(frames, GenerationRecord(spec, frames_sha256=frames_hash(frames), **facts))


def _frames(pipe: WanPipeline, spec: GenerationSpec, progress: Callable | None):
    shape = MODEL.latent_shape(Clip(spec.frames, spec.height, spec.width, FPS))
    noise = seeding.noise([spec.seed], (pipe.transformer.config.in_channels, *shape[1:]))  # [b c f h w]

    def done(_, index: int, time: float, tensors: dict) -> dict:
        if progress:
            progress(index)
        return tensors

    made = pipe(prompt=spec.prompt, negative_prompt=spec.negative_prompt, height=spec.height, width=spec.width,
                num_frames=spec.frames, num_inference_steps=spec.steps, guidance_scale=spec.guidance,
                latents=noise.to(pipe._execution_device), output_type="pt", callback_on_step_end=done)  # fmt: skip
    x = made.frames.transpose(1, 2)  # [b c f h w], from 0 to 1
    return layout.to_uint8(2 * x.float().cpu() - 1)[0].numpy()


def fingerprint(pipe: WanPipeline) -> str:
    """16 digits for what shapes a video beside its spec: the weights, how far the flow is shifted, the tokenizer, and
    methods that were replaced."""
    parts = {part: getattr(pipe, part) for part in wan_folder.KIND_OF}
    known = identity.names(parts)
    own = identity.patches(pipe, known), identity.patches(pipe.scheduler, known), identity.of_tokenizer(pipe.tokenizer)
    own += tuple(identity.swapped(type(one) for one in (pipe, pipe.scheduler, pipe.tokenizer)))
    digest = hashlib.sha256(f"{pipe.scheduler.config.flow_shift} {own} {identity.everywhere()}".encode())
    for part, module in parts.items():
        identity.add_network(digest, part, module, known)
    return digest.hexdigest()[:16]
