"""The class of the course's pipelines: diffusers' TextToVideoSDPipeline, or a stand-in once diffusers has dropped it.

diffusers calls the class deprecated since 0.33.1, and tests it no more. The course has its own denoising loop
(generate.denoise) and its own UNet (unet.UNet3D), so all it needs of a pipeline is what StandIn has: five parts in one
place, the words read, the latents decoded. `pipe("a prompt")` is not among it.
"""

import diffusers
import torch
from torch import Tensor


class StandIn(diffusers.DiffusionPipeline):
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


TextToVideoSDPipeline = getattr(diffusers, "TextToVideoSDPipeline", StandIn)


def check_pipe(pipe: TextToVideoSDPipeline) -> None:
    """ValueError unless pipe is a text-to-video pipeline."""
    if not isinstance(pipe, TextToVideoSDPipeline | StandIn):
        raise ValueError(f'pipe is a {type(pipe).__name__}: give a pipeline, such as loading.load("cartoon").')
