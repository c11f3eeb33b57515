"""The DiT in the UNet's place: the same objective, clips and schedule. The words are read by the UNet's text encoder.

That text encoder does not learn any more, as in published DiTs. A call of the DiT costs a sixth of one of the UNet, so
its batches are larger; all its training costs a third of the UNet's FLOPs. (`flops` counts both.)
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from t2v_helpers.inside import tracing
from t2v_helpers.inside.dit import DiT
from t2v_helpers.model.later import dit_file
from t2v_helpers.training import data
from t2v_helpers.training.denoiser import TEXT_WIDTH, Phase, Round, UnetSettings, UnetTask


@dataclass(frozen=True)
class DitSettings(UnetSettings):
    """What decides the weights of the DiT: UnetSettings with larger batches, more steps and a higher rate."""

    phases: tuple[Phase, ...] = (Phase(3000, 1, 64), Phase(3000, 8, 24), Phase(4500, 16, 16))
    rounds: tuple[Round, ...] = (Round(10_500, 4e-3, 0.2),)


def new_dit() -> DiT:
    """An untrained DiT for the latents and the text of the cartoon model."""
    return DiT(dit_file.config_of(data.LATENT_CHANNELS, TEXT_WIDTH, data.LATENT_SIZE))


class DitTask(UnetTask):
    """Learn to predict the noise in a clip, given its caption. Settings: DitSettings.

    text_encoder: trained before; it stays as it is.
    """

    name, new_network = "dit", staticmethod(new_dit)

    def __init__(
        self, settings: DitSettings, encoded: data.Clips, tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel
    ):
        super().__init__(settings, encoded, tokenizer)
        self.modules = nn.ModuleDict({"unet": self.modules["unet"]})
        self.text_encoder = text_encoder.eval()

    @torch.no_grad()
    def embeddings(self, words: Tensor) -> Tensor:
        """Tokens [b t] -> embeddings [b t d]."""
        return self.text_encoder(words)[0]

    def fingerprint(self) -> dict[str, Any]:
        """The sizes of the network count, too."""
        config = json.loads(json.dumps(asdict(self.modules["unet"].config)))
        return super().fingerprint() | {"network": config}


def flops(task: UnetTask) -> list[int]:
    """What the denoiser's training has cost after each step: FLOPs by torch's count, forth once and back about twice.

    Captions are not counted. It takes a second.
    """

    @cache
    def of_a_step(phase: Phase, images_only: bool) -> int:
        x = torch.zeros(1, data.LATENT_CHANNELS, phase.frames, data.LATENT_SIZE, data.LATENT_SIZE)  # one clip
        text = torch.zeros(1, task.tokenizer.model_max_length, TEXT_WIDTH)
        with task.within(0 if images_only else task.steps):
            return 3 * phase.batch * tracing.trace(task.modules["unet"], x, torch.zeros(1), text).total.flops

    first = task.settings.phases[0].steps
    return [*accumulate(of_a_step(task.phase(k), k < first) for k in range(task.steps))]
