"""What may be asked of a model: a spec and its words, validated before anything is computed.

spec = check(pipe, GenerationSpec("a dog is dancing"))     # the same spec, with the model's own defaults filled in
"""

import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import nn

from t2v_helpers import cartoon
from t2v_helpers.core import checking, seeding, video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import schedulers
from t2v_helpers.machine.device import free_memory_bytes
from t2v_helpers.model import loading
from t2v_helpers.model.folders import PARTS
from t2v_helpers.model.pipeline import CoursePipeline, course_pipeline

MAX_GUIDANCE, MAX_STEPS = 100.0, 1000
_NUMBER, _DECIMAL = r"[+-]?(\d{1,3}([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?%?", r"[+-]?\d*[.,]\d+"
_WORD = r"\b(?!\d+\b)\w+"  # not 10:30
_WEIGHT = re.compile(
    "|".join(
        (
            rf"[(\[][^()\[\]]*[^()\[\]\d\s]\s*[:;|]\s*{_NUMBER}\s*[)\]]",  # (dog:1.3)
            rf"{_WORD}(::?|\*){_NUMBER}(?![.,]?\w)",  # dog:1.3, dog::2, dog*1.3
            rf"{_WORD}(\s+:|\^){_DECIMAL}",  # dog :1.3, dog^1.3; not the face :3, nor km^2
            rf"\([^()]*\)([*^]{_NUMBER}|{_DECIMAL})",  # (dog)^1.3, (dog)1.3
            r"(\([^()]*[^()\d\s]\)[+-]|\b\w{3,}\+\+)[+-]*(?![\w+-])",  # (dog)+, dog++; not C++
            r"\b\w{3,}--[+-]*(?=[^\w+-]\W*\w)",  # dog-- and more; not oh--no, nor a sentence that breaks off--
            r"\(\([^()]+\)\)|\[[^\[\]]+\]|\{[^{}]+\}",  # ((dog)), [dog], {dog}
        )
    )
)
_WHITE, _FILLERS = "\t\n\v\f\r", "\u115f\u1160\u2800\u3164\uffa0"  # as a space; letters and signs that print nothing
_SHAPES = "<wide>", "<font>", "<compat>"  # in Unicode's table, before the letters that one stands for: \uff44 for d


def check(pipe: CoursePipeline, spec: GenerationSpec) -> GenerationSpec:
    """Validate a spec for this model before any computing; return it with defaults filled in.

    ValueError: which value is wrong, what is allowed. MemoryError: the memory it takes and what is free.
    """
    return check_all(pipe, [spec], batch=1)[0]


def check_early(bare: SimpleNamespace, specs: Sequence[GenerationSpec], taught: Sequence[str] = ()) -> None:
    """Validate specs for a model that is not loaded yet, so that what is wrong is refused before a download.

    bare: of loading.outline. taught: the words of a LoRA that is to be added. ValueError: those of `check`, and words
    that the cartoon world does not know. OSError: no ffmpeg. Memory, and modelscope's tokens, `check` looks at.
    """
    video.check_encoder()
    words = {"prompt": [spec.prompt for spec in specs], "negative_prompt": [spec.negative_prompt for spec in specs]}
    for argument, prompts in words.items():
        for prompt in dict.fromkeys(prompts):
            check_text(prompt, argument)
            if loading.is_cartoon(bare):
                refuse_unknown_words(prompt, [*bare.new_words, *taught])
            if bare.tokenizer:
                _check_room(bare, prompt, argument)
    for spec in specs:
        seeding.check_seed(spec.seed)
    for spec in dict.fromkeys(replace(spec, prompt="", negative_prompt="", seed=0) for spec in specs):
        _check_numbers(bare, resolve(bare, spec))


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
    _check_state(pipe)
    specs = [resolve(pipe, spec) for spec in specs]
    _check_numbers(pipe, specs[0])
    _warn_of_student(pipe, specs[0])
    _warn_of_unheard(specs)
    _check_memory(pipe, specs[0], min(batch, len(specs)))
    for spec in specs:
        _check_alike(spec, specs[0])
        check_prompt(pipe, spec.prompt)
        check_prompt(pipe, spec.negative_prompt, "negative_prompt")
        seeding.check_seed(spec.seed)
    return specs


def check_kinds(pipe: CoursePipeline, specs: Sequence[GenerationSpec]) -> None:
    """ValueError unless the predictor is a function, and specs a list of GenerationSpec."""
    if not callable(pipe.predictor) or isinstance(pipe.predictor, type):
        raise ValueError(
            f"pipe.predictor={checking.shown(pipe.predictor)} is not a predictor: give Shortcuts(reuse=3), for example."
        )
    for spec in checking.kind("specs", specs, Sequence, "a list of GenerationSpec"):
        checking.kind("spec", spec, GenerationSpec, 'GenerationSpec("a dog is dancing")')


def check_torch() -> None:
    """ValueError for settings of torch that would change the video, and that no record could tell."""
    if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
        raise ValueError(
            "autocast is on, which changes the video: leave the `with`, and load in another dtype instead."
        )
    if torch.get_default_device().type != "cpu":
        raise ValueError(
            f"torch's default device is {torch.get_default_device()}, which schedulers would take: set it to None; "
            "loading.load(..., device=...) says where the model computes."
        )


def _check_state(pipe: CoursePipeline) -> None:
    """ValueError for a part that does not go with the others, or is in training, or a scheduler of another training;
    those of `check_torch`."""
    check_torch()
    for part, method in (("scheduler", "set_timesteps"), ("tokenizer", "convert_tokens_to_ids")):
        if not hasattr(getattr(pipe, part), method):
            kind = type(getattr(pipe, part)).__name__
            raise ValueError(f"pipe.{part} is of type {kind}: use a {part}, such as that of the loaded pipeline.")
    for part in sorted(PARTS, key="unet".__ne__):  # with it the others are compared
        _check_part(pipe, part)
        if any(isinstance(m, nn.Dropout) and m.training and m.p for m in getattr(pipe, part).modules()):
            raise ValueError(f"pipe.{part} drops numbers by chance, as in training: call pipe.{part}.eval() first.")
    for key, value in pipe.trained.items():
        if (found := pipe.scheduler.config.get(key, value)) != value:
            raise ValueError(
                f"pipe.scheduler has {key}={checking.shown(found)}, but the model was trained with "
                f"{checking.shown(value)}: make it from the pipeline's own, "
                "EulerDiscreteScheduler.from_config(pipe.scheduler.config) for example."
            )


def _check_part(pipe: CoursePipeline, name: str) -> None:
    """ValueError for something else in place of a part, for another dtype than the UNet's, and for weights that are no
    plain numbers: quantized, sparse, or none yet, as on torch's meta device."""
    part, dtype = getattr(pipe, name), getattr(pipe.unet, "dtype", None)
    if not isinstance(part, nn.Module) or not (hasattr(part, "config") and hasattr(part, "dtype")):
        kind = type(part).__name__
        raise ValueError(f"pipe.{name} is of type {kind}, and no part of a pipeline: put the part itself there again.")
    if part.dtype != dtype:
        each = f"pipe.{name} is in {part.dtype}, but pipe.unet in {dtype}".replace("torch.", "")
        raise ValueError(f"{each}: use one dtype for all, pipe.to({dtype}) for example.")
    for key, x in part.state_dict().items():
        if type(x) is not torch.Tensor or x.is_meta or x.is_quantized or x.layout != torch.strided:
            what = f"pipe.{name} has {checking.listed(key)}, which is quantized, sparse or without values"
            raise ValueError(f"{what}: use a part whose weights are plain numbers, as loading.load makes it.")


def _check_alike(spec: GenerationSpec, first: GenerationSpec) -> None:
    alike = replace(first, prompt=spec.prompt, negative_prompt=spec.negative_prompt, seed=spec.seed).to_dict()
    for name, value in spec.to_dict().items():
        if value != alike[name]:
            raise ValueError(
                f"specs of one batch differ in {name} ({checking.shown(alike[name])} and {checking.shown(value)}): "
                "only prompt, negative_prompt and seed may; make one batch for each."
            )


def _check_numbers(pipe: CoursePipeline, spec: GenerationSpec) -> None:
    schedulers.check_name(spec.scheduler)
    schedulers.check_steps(spec.scheduler, spec.steps, pipe.scheduler.config)
    checking.number("guidance", spec.guidance, 1, MAX_GUIDANCE)  # below 1 diffusers would silently do as for 1
    size = spec.frames, spec.height, spec.width
    video.check_size(*size, loading.size_multiple(pipe), loading.MAX_FRAMES, loading.MAX_PIXELS)


def _warn_of_student(pipe: CoursePipeline, spec: GenerationSpec) -> None:
    """UserWarning where a distilled model is not sampled as it has learnt to be."""
    own = loading.sampling(pipe)
    if own and (spec.scheduler, spec.guidance) != (pipe.student, 1):
        asked = f"scheduler={spec.scheduler!r} with guidance={spec.guidance:g}"
        use = f"scheduler={pipe.student!r}, guidance=1 and few steps, such as {own['steps']}"
        warnings.warn(f"{asked} is not how this model was distilled to be sampled: use {use}.", stacklevel=3)


def _warn_of_unheard(specs: Sequence[GenerationSpec]) -> None:
    """UserWarning where a negative prompt changes nothing: guidance 1 asks for the prompt alone."""
    unheard = [spec.negative_prompt for spec in specs if spec.guidance == 1 and spec.negative_prompt]
    if unheard:
        given = f"negative_prompt={checking.shown(unheard[0])}"
        warnings.warn(f"{given} has no effect with guidance=1: use guidance above 1.", stacklevel=3)


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

    ValueError: those of `check_text`; nothing to read, or more tokens than fit (names the words that fall off).
    UserWarning: words that the cartoon world has never heard; they are spelt out, and mean nothing to it. A LoRA may
    have taught some: `pipe.new_words`, see model/lora.py. For modelscope, letters of another shape (`_shaped`).
    """
    pipe = course_pipeline(pipe)
    check_text(prompt, argument)
    _check_room(pipe, prompt, argument)
    if unseen := _unseen(prompt):
        warnings.warn(f"{argument} has {unseen}, unseen in print, which change the video: remove them.", stacklevel=3)
    known = [*cartoon.vocabulary(), *pipe.new_words] if loading.is_cartoon(pipe) else []
    if weight := _weight(prompt, known):
        warnings.warn(f"{argument} has {checking.shown(weight)}: {_NO_WEIGHTS}", stacklevel=3)
    if not known:
        if shaped := _shaped(prompt):
            warnings.warn(f"{argument} has {shaped}, which this model reads as letters of their own.", stacklevel=3)
    elif unknown := _unknown(prompt, pipe.new_words):
        strange = _shown([_emoji(word) or word for word in unknown]) + _foreign(unknown)
        words = f"{argument} has words unknown to this model: {strange}; it knows {', '.join(known)}."
        warnings.warn(words, stacklevel=3)


def _check_room(pipe: CoursePipeline, prompt: str, argument: str) -> None:
    read = pipe.tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    if argument == "prompt" and not read.input_ids:
        raise ValueError(_EMPTY)
    room = token_room(pipe)
    if len(read.input_ids) > room:
        lost = _words_from(prompt, read.offset_mapping[room][0])
        count = len(read.input_ids)
        raise ValueError(f"{argument} has {count} tokens, but {room} fit, so these words fall off: {lost}; shorten it.")


def refuse_unknown_words(prompt: str, taught: Sequence[str] = ()) -> None:
    """ValueError where a word is not of the cartoon world, nor `taught` by a LoRA: names it, and lists those known."""
    known = [*cartoon.vocabulary(), *taught]
    if weight := _weight(prompt, known):
        raise ValueError(f"{checking.shown(weight)} is not allowed: {_NO_WEIGHTS}")
    if unseen := _unseen(prompt):
        raise ValueError(
            f"the words hold {unseen}, unseen in print, which the cartoon model does not know: remove them."
        )
    if unknown := _unknown(prompt, taught):
        strange = ", ".join(_emoji(word) or checking.shown(word) for word in unknown[:8]) + _foreign(unknown)
        raise ValueError(f"the cartoon model does not know {strange}: it knows {', '.join(known)}.")


def _weight(prompt: str, known: Sequence[str]) -> str:
    """The first weight of a word, as "(dog:1.3)"; "" without one. After a word that is not `known`, -- is a dash.

    known: the words of the model; none where it may know any.
    """
    for found in _WEIGHT.finditer(prompt):
        word = re.fullmatch(r"(\w+)--[+-]*", found[0])
        if not (word and known) or word[1].lower() in known:
            return found[0]
    return ""


def _unknown(prompt: str, taught: Sequence[str]) -> list[str]:
    return [word for word in cartoon.unknown_words(prompt) if word not in taught]


def token_room(pipe: CoursePipeline) -> int:
    """How many tokens of text the encoder reads, besides the two that start and end it."""
    return min(pipe.tokenizer.model_max_length, pipe.text_encoder.config.max_position_embeddings) - 2


_EMPTY = 'prompt is empty: say what to show, for example "a robot is dancing on the moon".'
_NO_WEIGHTS = "weights of words are no part of this model, which would read their signs as text: leave them out."


def _unseen(prompt: str) -> str:
    """Characters without a picture of their own (fillers, accents that join no letter), as U+3164.

    Vowels of Hindi or Thai are such marks, too, for Unicode, but are seen: their names do not say COMBINING.
    """
    text = unicodedata.normalize("NFC", cartoon.EMOJI.sub(" ", prompt))
    marks = {c: unicodedata.name(c, "") for c in text if unicodedata.category(c) in ("Mn", "Me")}
    unseen = [c for c, name in marks.items() if re.search("^COMBINING|VARIATION SELECTOR|VOWEL INHERENT", name)]
    return _points(c for c in text if c in unseen or c in _FILLERS)


def _shaped(prompt: str) -> str:
    """Latin letters and digits of another shape, which NFC keeps: full-width ones, ligatures, those of formulas."""
    text = unicodedata.normalize("NFC", prompt)
    return _points(c for c in text if unicodedata.decomposition(c).startswith(_SHAPES) and _plain(c))


def _foreign(words: list[str]) -> str:
    """The letters of words beyond a to z, as the end of their list: no eye tells an o from the Cyrillic one."""
    points = _points(c for word in words[:8] for c in word if c.isalnum() and not c.isascii())
    return points and f", with {points}"


def _emoji(word: str) -> str:
    """An emoji of several characters as a message calls it: as it is seen, and not by its parts. "" of other words."""
    return f"the emoji {word}" if cartoon.EMOJI.fullmatch(word) else ""


def _points(characters: Iterable[str]) -> str:
    """The first five of them, each once, by their code points: U+200B, U+FF44 (type d)."""
    return ", ".join([f"U+{ord(c):04X}{_plain(c) and f' (type {_plain(c)})'}" for c in dict.fromkeys(characters)][:5])


def _plain(character: str) -> str:
    """What to type instead of a letter with accents or of another shape: "d" for U+FF44; "" for a letter of its own."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return bare if bare.isascii() and bare.isalnum() else ""


def check_text(prompt: str, argument: str) -> None:
    """ValueError: no text, an empty prompt (only the negative one may be), half a character, or one that is no sign.

    Of a control, a mark of direction or zero width, or a code point without a character nothing is seen in print, and
    yet it would make another video: Unicode's categories Cc, Cf, Cn and Co, without white space.
    """
    if not isinstance(prompt, str):
        raise ValueError(f"{argument}={checking.shown(prompt)} is a {type(prompt).__name__}, but a text is needed.")
    if argument == "prompt" and not prompt.strip():
        raise ValueError(_EMPTY)
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        strange = ascii(prompt[error.start])
        raise ValueError(f"{argument} holds {strange}, half of a character: type the character again.") from error
    bare = cartoon.EMOJI.sub(" ", prompt)  # in which a character of zero width joins signs that are seen
    if unseen := _points(c for c in bare if unicodedata.category(c)[0] == "C" and c not in _WHITE):
        raise ValueError(f"{argument} holds {unseen}, unseen in print, which would change the video: remove it.")


def _words_from(prompt: str, start: int) -> str:
    """The words of the prompt from the one that holds the character at `start`, as a short list."""
    before = re.search(r"\S*$", prompt[:start])
    return _shown(prompt[before.start() :].split())


def _shown(words: list[str]) -> str:
    """The first eight words, with nothing in them that breaks a line, and how many more there are."""
    cut = [word[:40] for word in words[:8]]
    shown = ", ".join(word if cartoon.EMOJI.sub("", word).isprintable() else ascii(word)[1:-1] for word in cut)
    return shown if len(words) <= 8 else f"{shown} and {len(words) - 8} more"
