"""What may be asked of a model: a spec and its words, validated before anything is computed.

spec = check(pipe, GenerationSpec("a dog is dancing"))     # the same spec, with the model's own defaults filled in
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from t2v_helpers import cartoon
from t2v_helpers.core import checking, seeding
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import schedulers
from t2v_helpers.inside import tracing
from t2v_helpers.machine.device import free_memory_bytes
from t2v_helpers.model import loading
from t2v_helpers.model.pipeline import CoursePipeline, course_pipeline

MAX_GUIDANCE = 100.0


def check(pipe: CoursePipeline, spec: GenerationSpec) -> GenerationSpec:
    """Validate a spec for this model before any computing; return it with defaults filled in.

    ValueError: which value is wrong, what is allowed. MemoryError: the memory it takes and what is free.
    """
    return check_all(pipe, [spec], batch=1)[0]


def check_early(name: str | Path, spec: GenerationSpec) -> None:
    """Validate a spec for a model that is not loaded yet, so that a wrong number is refused before a download.

    ValueError: scheduler, guidance, seed, frames, height or width; those of loading.skeleton.
    `check` looks at the rest.
    """
    bare = SimpleNamespace(unet=loading.skeleton(name)["unet"])
    _check_numbers(bare, resolve(bare, spec))
    seeding.check_seed(spec.seed)


def resolve(pipe: CoursePipeline, spec: GenerationSpec) -> GenerationSpec:
    """The spec with the model's own guidance, height and width where it says None."""
    model = loading.defaults(pipe)
    empty = [name for name in ("guidance", "height", "width") if getattr(spec, name) is None]
    return replace(spec, **{name: getattr(model, name) for name in empty})


def memory_needed(pipe: CoursePipeline, spec: GenerationSpec, batch: int = 1) -> int:
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


def check_all(pipe: CoursePipeline, specs: Sequence[GenerationSpec], batch: int) -> list[GenerationSpec]:
    """The specs, resolved; they may differ in words and seeds only. Errors: see `check`."""
    pipe = course_pipeline(pipe)
    check_kinds(pipe, specs)
    if not specs:
        raise ValueError("specs is empty: give at least one GenerationSpec.")
    specs = [resolve(pipe, spec) for spec in specs]
    _check_numbers(pipe, specs[0])
    schedulers.check_steps(specs[0].scheduler, specs[0].steps, pipe.scheduler.config)
    _check_memory(pipe, specs[0], min(batch, len(specs)))
    for spec in specs:
        _check_alike(spec, specs[0])
        check_prompt(pipe, spec.prompt)
        check_prompt(pipe, spec.negative_prompt, "negative_prompt")
        seeding.check_seed(spec.seed)
    return specs


def check_kinds(pipe: CoursePipeline, specs: Sequence[GenerationSpec]) -> None:
    """ValueError unless pipe is a pipeline whose predictor is a function, and specs a list of GenerationSpec."""
    pipe = course_pipeline(pipe)
    if not callable(pipe.predictor) or isinstance(pipe.predictor, type):
        raise ValueError(f"pipe.predictor={pipe.predictor!r} is not a predictor: give Shortcuts(reuse=3), for example.")
    for spec in checking.kind("specs", specs, Sequence, "a list of GenerationSpec"):
        checking.kind("spec", spec, GenerationSpec, 'GenerationSpec("a dog is dancing")')


def _check_alike(spec: GenerationSpec, first: GenerationSpec) -> None:
    alike = replace(first, prompt=spec.prompt, negative_prompt=spec.negative_prompt, seed=spec.seed).to_dict()
    for name, value in spec.to_dict().items():
        if value != alike[name]:
            raise ValueError(
                f"specs of one batch differ in {name} ({alike[name]} and {value}): "
                "only prompt, negative_prompt and seed may; make one batch for each."
            )


def _check_numbers(pipe: CoursePipeline, spec: GenerationSpec) -> None:
    schedulers.check_name(spec.scheduler)
    checking.number("guidance", spec.guidance, 1, MAX_GUIDANCE)  # below 1 diffusers would silently do as for 1
    size = spec.frames, spec.height, spec.width
    tracing.check_size(*size, loading.size_multiple(pipe), loading.MAX_FRAMES, loading.MAX_PIXELS)


def _check_memory(pipe: CoursePipeline, spec: GenerationSpec, batch: int) -> None:
    needed, free = memory_needed(pipe, spec, batch), free_memory_bytes(pipe.execution_device)
    if needed > free:
        raise MemoryError(
            f"frames={spec.frames} of {spec.height}x{spec.width} in a batch of {batch} need about "
            f"{needed / 2**30:.1f} GiB beside the model, but {free / 2**30:.1f} are free: ask for fewer or smaller."
        )


# --- prompts


def check_prompt(pipe: CoursePipeline, prompt: str, argument: str = "prompt") -> None:
    """Validate a prompt for the text encoder. Only the negative prompt may be empty.

    ValueError: no text, half a character, nothing to read, or more tokens than fit (names the words that fall off).
    UserWarning: words that the cartoon world has never heard; they are spelt out, and mean nothing to it. A LoRA may
    have taught some: `pipe.new_words`, see model/lora.py.
    """
    pipe = course_pipeline(pipe)
    _check_text(prompt, argument)
    read = pipe.tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    if argument == "prompt" and not read.input_ids:
        raise ValueError(f'{argument} is empty: say what to show, for example "a robot is dancing on the moon".')
    room = token_room(pipe)
    if len(read.input_ids) > room:
        lost = _words_from(prompt, read.offset_mapping[room][0])
        count = len(read.input_ids)
        raise ValueError(f"{argument} has {count} tokens, but {room} fit, so these words fall off: {lost}; shorten it.")
    unknown = _unknown(prompt, pipe.new_words) if loading.is_cartoon(pipe) else []
    if unknown:
        known = ", ".join([*cartoon.vocabulary(), *pipe.new_words])
        warnings.warn(f"{argument} has words unknown to this model: {_shown(unknown)}; it knows {known}.", stacklevel=3)


def refuse_unknown_words(prompt: str, taught: Sequence[str] = ()) -> None:
    """ValueError where a word is not of the cartoon world, nor `taught` by a LoRA: names it, and lists those known."""
    if unknown := _unknown(prompt, taught):
        known = ", ".join([*cartoon.vocabulary(), *taught])
        raise ValueError(f"the cartoon model does not know {', '.join(map(repr, unknown))}: it knows {known}.")


def _unknown(prompt: str, taught: Sequence[str]) -> list[str]:
    return [word for word in cartoon.unknown_words(prompt) if word not in taught]


def token_room(pipe: CoursePipeline) -> int:
    """How many tokens of text the encoder reads, besides the two that start and end it."""
    return min(pipe.tokenizer.model_max_length, pipe.text_encoder.config.max_position_embeddings) - 2


def _check_text(prompt: str, argument: str) -> None:
    if not isinstance(prompt, str):
        raise ValueError(f"{argument}={prompt!r} is a {type(prompt).__name__}, but a text is needed.")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        strange = ascii(prompt[error.start])
        raise ValueError(f"{argument} holds {strange}, half of a character: type the character again.") from error


def _words_from(prompt: str, start: int) -> str:
    """The words of the prompt from the one that holds the character at `start`, as a short list."""
    while start and not prompt[start - 1].isspace():
        start -= 1
    return _shown(prompt[start:].split())


def _shown(words: list[str], most: int = 8) -> str:
    """The first words, with nothing in them that breaks a line, and how many more there are."""
    shown = ", ".join(ascii(word[:40])[1:-1] if not word[:40].isprintable() else word[:40] for word in words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"
