"""The course's pipeline: diffusers' TextToVideoSDPipeline with typed fields for what the course adds to it.

diffusers has deprecated the class since 0.33.1 and no longer tests it. Once it is gone, `OwnPipeline` takes its place:
five parts together, the words read, the latents decoded. The course has its own denoising loop (denoising.denoise)
and its own UNet (unet.UNet3D), so it needs no more than that; only `pipe("a prompt")` is lost then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diffusers
import torch
from torch import Tensor

from t2v_helpers.diffusion.guidance import Predictor, guided
from t2v_helpers.model.memory_plan import Plan


class OwnPipeline(diffusers.DiffusionPipeline):
    """The five parts of a text-to-video model; moving and offloading them is left to DiffusionPipeline."""

    model_cpu_offload_seq = "text_encoder->unet->vae"

    def __init__(self, vae, text_encoder, tokenizer, unet, scheduler):
        super().__init__()
        self.register_modules(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler
        )  # fmt: skip
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)

    def encode_prompt(self, prompt: str, device: torch.device, negative_prompt: str = "", **others) -> tuple:
        """What the text encoder makes of prompt and negative prompt: [1 t d] each. `others` are those of diffusers."""
        return self._read(prompt, device), self._read(negative_prompt, device)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents [b c f h w] to videos in float32 [b c f h w], values in [-1, 1]."""
        images = latents.transpose(1, 2).flatten(0, 1) / self.vae.config.scaling_factor  # [(b f) c h w]
        decoded = self.vae.decode(images).sample  # [(b f) c h w]
        return decoded.unflatten(0, (len(latents), -1)).transpose(1, 2).float()

    def _read(self, words: str, device: torch.device) -> Tensor:
        room = self.tokenizer.model_max_length
        read = self.tokenizer(words, padding="max_length", max_length=room, truncation=True, return_tensors="pt")
        return self.text_encoder(read.input_ids.to(device))[0]  # [1 t d]


Base = getattr(diffusers, "TextToVideoSDPipeline", OwnPipeline)


class CoursePipeline(Base):
    """A text-to-video pipeline, and what the course knows of it. diffusers' own methods all work on it."""

    model_name: str = ""  # as `loading.load` was asked for it
    plan: Plan | None = None  # how it saves memory, and why
    predictor: Predictor = staticmethod(guided)  # how the guided noise of a step is predicted
    new_words: tuple[str, ...] = ()  # taught by a LoRA: no warning for these

    @property
    def execution_device(self) -> torch.device:
        """Where the model computes, also where its parts wait on the CPU for their turn."""
        return self._execution_device

    @property
    def name(self) -> str:
        """The name that `loading.load` was given, or the name of the folder where diffusers found it."""
        return self.model_name or Path(self.config.get("_name_or_path") or "unnamed").name

    @contextmanager
    def using(self, **changes) -> Iterator["CoursePipeline"]:
        """The pipeline with other parts or fields inside the `with`; exactly what was there comes back afterwards.

        AttributeError: the pipeline has no such part or field.
        """
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

    def save_pretrained(self, *args, **kwargs) -> None:
        """Write an ordinary folder, which diffusers opens without the course: see diffusers.DiffusionPipeline."""
        Base(**self.components).save_pretrained(*args, **kwargs)


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
