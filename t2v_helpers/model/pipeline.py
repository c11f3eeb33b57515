"""The course's pipeline: diffusers' TextToVideoSDPipeline with typed fields for what the course adds to it.

diffusers has deprecated the class since 0.33.1 and no longer tests it. Once it is gone, `OwnPipeline` takes its place:
five parts together, the words read, the latents decoded. The course has its own denoising loop (denoising.denoise)
and its own UNet (unet.UNet3D), so it needs no more than that; only `pipe("a prompt")` is lost then.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from t2v_helpers.core import checking, files, layout
from t2v_helpers.core.importing import quickly
from t2v_helpers.diffusion import schedulers
from t2v_helpers.diffusion.guidance import Predictor, guided
from t2v_helpers.diffusion.schedulers import SchedulerMixin
from t2v_helpers.inside import identity
from t2v_helpers.inside.unet import UNet3D
from t2v_helpers.model import folders
from t2v_helpers.model.folders import AGAIN, PARTS, TEACHER, manifests
from t2v_helpers.model.memory_plan import Plan

with quickly():
    import diffusers
    from diffusers import DiffusionPipeline

UNSEEN = (  # what a config decides, and no shape shows
    "attention_head_dim", "norm_num_groups", "norm_eps", "num_attention_heads", "hidden_act", "layer_norm_eps",
    "scaling_factor",
)  # fmt: skip
MOST_WORDS, LONGEST_WORD = 100, 40  # of a LoRA
INDEX = "model_index.json"
WORDS = "words.json"  # in a model's folder: what a LoRA taught it before it was merged
NAMES = (*folders.LENT, "unet", "scheduler", INDEX, WORDS, TEACHER, manifests.MANIFEST)  # in a model's folder


class OwnPipeline(DiffusionPipeline):
    """The five parts of a text-to-video model; moving and offloading them is left to DiffusionPipeline."""

    model_cpu_offload_seq = "text_encoder->unet->vae"

    def __init__(self, vae, text_encoder, tokenizer, unet, scheduler):
        super().__init__()
        self.register_modules(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler)
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)

    def encode_prompt(self, prompt: str, device: torch.device, negative_prompt: str = "", **others) -> tuple:
        """What the text encoder makes of prompt and negative prompt: [1 t d] each. `others` are those of diffusers."""
        return self._read(prompt, device), self._read(negative_prompt, device)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents [b c f h w] to videos in float32 [b c f h w], values in [-1, 1]."""
        images = layout.fold_frames(latents) / self.vae.config.scaling_factor  # [(b f) c h w]
        return layout.unfold_frames(self.vae.decode(images).sample, len(latents)).float()

    def _read(self, words: str, device: torch.device) -> Tensor:
        room = self.tokenizer.model_max_length
        read = self.tokenizer(words, padding="max_length", max_length=room, truncation=True, return_tensors="pt")
        return self.text_encoder(read.input_ids.to(device))[0]  # [1 t d]


with quickly():
    Base = getattr(diffusers, "TextToVideoSDPipeline", OwnPipeline)


class CoursePipeline(Base):
    """A text-to-video pipeline, and what the course knows of it. diffusers' own methods all work on it."""

    model_name: str = ""  # as `loading.load` was asked for it
    plan: Plan | None = None  # how it saves memory, and why
    predictor: Predictor = staticmethod(guided)  # how the guided noise of a step is predicted
    new_words: tuple[str, ...] = ()  # taught by a LoRA: no warning for these
    added: str = ""  # what a LoRA adds to the name: " with sepia"
    trained: Mapping = MappingProxyType({})  # the noise schedule of the folder, from which no scheduler may differ
    student: str = ""  # the scheduler by which a distilled model takes its few steps, unguided; "" for other models

    @property
    def execution_device(self) -> torch.device:
        """Where the model computes, also where its parts wait on the CPU for their turn."""
        return self._execution_device

    @property
    def name(self) -> str:
        """The name that `loading.load` was given, or of the folder where diffusers found it; and what a LoRA added."""
        return (self.model_name or Path(self.config.get("_name_or_path") or "unnamed").name) + self.added

    @contextmanager
    def using(self, **changes) -> Iterator["CoursePipeline"]:
        """The pipeline with other parts or fields inside the `with`; exactly what was there comes back afterwards.

        AttributeError: the pipeline has no such part or field.
        """
        if unknown := [name for name in changes if not hasattr(self, name)]:
            which = f"no part or field {checking.listed(unknown[0])}"
            raise AttributeError(f"pipe has {which}: use one that it has, such as vae=, scheduler= or predictor=.")
        before = {name: getattr(self, name) for name in changes}
        own = {name for name in changes if name in vars(self)}
        try:
            for name, value in changes.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                if name in own or name in self.components:
                    setattr(self, name, value)
                else:
                    vars(self).pop(name, None)

    def save_pretrained(
        self, folder: str | Path, safe_serialization: bool = True, variant: str | None = None, **others
    ) -> None:
        """Write an ordinary folder, which diffusers opens without the course; it replaces a model that is there, whole.

        variant: None or "fp16". `others` are those of diffusers.DiffusionPipeline. ValueError: a LoRA is not merged; a
        part cannot be saved, or not be loaded again; no safetensors; the folder holds more than a model.
        """
        checking.one_of("safe_serialization", safe_serialization, (True,))
        checking.one_of("variant", variant, (None, "fp16"))
        folder = checking.path("folder", folder)
        parts = {name: _published(name, part) for name, part in self.components.items()}
        checking.replaceable(folder, INDEX, "the model", known=NAMES)

        def write(new: Path) -> None:
            Base(**parts).save_pretrained(str(new), variant=variant, **others)
            if self.new_words:
                files.write_text(new / WORDS, json.dumps(self.new_words) + "\n")
            _check_saved(new, variant)

        files.replace_folder(folder, write)


def _check_saved(folder: Path, variant: str | None) -> None:
    """ValueError: `loading.load` would refuse what was written."""
    try:
        kinds = folders.kinds(folder)
        configs = folders.configs(folder, kinds)
        empty = {part: folders.bare(kind, configs[part], folder / part) for part, kind in kinds.items()}
        for part, kind in kinds.items():
            folders.check_weights(folder / part, kind, variant, empty[part])
        texts(folder, empty["text_encoder"].config)
        words(folder)
    except ValueError as error:
        why = str(error).partition(f": {AGAIN}")[0].replace(f"{folder}/", "").rstrip(".")
        raise ValueError(f"the model is not saved, since it could not be loaded again: {why}.") from error


def texts(folder: Path, encoder: Any) -> dict:
    """The tokenizer and the scheduler; `encoder` is the config of the text encoder.

    ValueError: the text encoder knows other tokens; those of folders/.
    """
    tokenizer = folders.tokenizer(folder / "tokenizer", encoder.max_position_embeddings)
    if len(tokenizer) != encoder.vocab_size:
        what = f"{folder / 'tokenizer'} has {len(tokenizer)} tokens, but the text encoder knows {encoder.vocab_size}"
        raise folders.damaged(what)
    scheduler = folders.scheduler(folder / "scheduler" / "scheduler_config.json")
    return {"tokenizer": tokenizer, "scheduler": scheduler}


def words(folder: Path) -> tuple[str, ...]:
    """The words that a LoRA taught a model before it was merged; none without that file. ValueError: no such words."""
    path = folder / WORDS
    try:
        files.check_link(path)
        return known_words(path, files.read_json(path, list) if path.exists() else [])
    except ValueError as error:
        raise ValueError(f"{str(error)[:-1]}: {AGAIN}.") from error


def known_words(path: object, found: list) -> tuple[str, ...]:
    """The words that a LoRA taught, as `path` lists them; messages will name them. ValueError: too many, or no word."""
    if len(found) > MOST_WORDS:
        raise ValueError(f"{files.named(path)} lists {len(found)} words, but {MOST_WORDS} are the most.")
    for word in found:
        if not isinstance(word, str) or not word.isprintable() or not 0 < len(word) <= LONGEST_WORD:
            given = f"{files.named(path)} lists {checking.shown(word)}"
            raise ValueError(f"{given}, which is no word of 1 to {LONGEST_WORD} letters.")
    return tuple(found)


def _published(name: str, part: Any) -> Any:
    """A part in its published class, a compiled one as it was.

    ValueError: no folder holds it; a value is not finite; a layer is compiled.
    """
    part = getattr(part, "_orig_mod", part)
    layers = dict(part.named_modules()) if isinstance(part, torch.nn.Module) else {}
    if compiled := [key for key in layers if key.endswith("._orig_mod")]:
        where = f"{name}.{compiled[0]}"
        raise ValueError(f"{where.rpartition('.')[0]} is compiled: put {where} in its place, and save again.")
    for key, x in part.state_dict().items() if isinstance(part, torch.nn.Module) else ():
        if isinstance(x, Tensor) and not x.is_meta and not x.float().isfinite().all():
            raise ValueError(f"{name} has {key} with NaN or infinite values: load the model again, or train it anew.")
    part = _plain(part) if name == "unet" else part
    if not hasattr(part, "save_pretrained"):
        raise ValueError(f"{name} is a {type(part).__name__}, which no folder holds: swap the old part back.")
    return part


def _plain(unet: torch.nn.Module) -> torch.nn.Module:
    """The UNet in diffusers' own class, also where it is the course's. ValueError: it has a LoRA."""
    if any(".lora_A." in name for name in unet.state_dict()):
        raise ValueError("the UNet has a LoRA: lora.merge(pipe) first, or lora.save(pipe, folder) for the LoRA alone.")
    if not isinstance(unet, UNet3D) or not hasattr(diffusers, "UNet3DConditionModel"):
        return unet
    with torch.device("meta"):
        plain = diffusers.UNet3DConditionModel.from_config(vars(unet.config))
    plain.load_state_dict(unet.state_dict(), assign=True)
    return plain


def course_pipeline(pipe: Base) -> CoursePipeline:
    """`pipe` as a CoursePipeline; one that was loaded by diffusers alone shares all of its state with the result.

    ValueError: it is not a text-to-video pipeline.
    """
    if isinstance(pipe, CoursePipeline):
        return pipe
    if not isinstance(pipe, Base | OwnPipeline):
        raise ValueError(f'pipe is of type {type(pipe).__name__}: use a pipeline, such as loading.load("cartoon").')
    view = CoursePipeline.__new__(CoursePipeline)
    view.__dict__ = pipe.__dict__  # one state under two classes: a part swapped in one is swapped in both
    return view


def fingerprint(pipe: CoursePipeline, noise: Tensor | None = None) -> str:
    """16 digits for all that shapes a video beside its spec: the parts as inside/identity.py tells them, a LoRA's scale
    and layers that are switched off too, the tokenizer, the predictor, methods that were replaced, the noise schedule;
    and noise that is not the seed's.
    """
    pipe = course_pipeline(pipe)
    parts = {part: getattr(pipe, part) for part in PARTS}
    known = identity.names(parts)
    own = identity.told(pipe.predictor, known=known), identity.told(type(pipe)), identity.patches(pipe, known)
    own += tuple(identity.swapped([type(pipe), type(pipe.tokenizer), *SchedulerMixin.__subclasses__()]))
    words, schedule = identity.of_tokenizer(pipe.tokenizer), schedulers.resolved(pipe.scheduler.config)
    digest = hashlib.sha256(str((schedule, own, words, identity.everywhere())).encode())
    if noise is not None:
        digest.update(identity.told(noise).encode())
    for part, module in parts.items():
        digest.update(str([getattr(module.config, key, None) for key in UNSEEN]).encode())
        identity.add_network(digest, part, module, known)
    return digest.hexdigest()[:16]
