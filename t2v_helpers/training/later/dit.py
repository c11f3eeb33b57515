"""The DiT in the UNet's place: the same objective, clips, schedule and number of steps.

A call of it costs less than one of the UNet, so its batches are larger: each step costs as many FLOPs as the UNet's.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from t2v_helpers.inside.dit import DiT
from t2v_helpers.model.later import dit_file
from t2v_helpers.training import data
from t2v_helpers.training.denoiser import TEXT_WIDTH, Phase, Round, UnetSettings, UnetTask


@dataclass(frozen=True)
class DitSettings(UnetSettings):
    """What decides the weights of the DiT and its text encoder: UnetSettings with larger batches, and a lower rate."""

    phases: tuple[Phase, ...] = (
        Phase(3000, 1, 126),
        Phase(1500, 8, 44),
        Phase(3000, 16, 28),
        Phase(300, 1, 202),
        Phase(900, 8, 44),
        Phase(1700, 16, 28),
    )
    rounds: tuple[Round, ...] = (Round(7500, 1e-3, 0.2), Round(2900, 1e-3, 0.25))
    images: int = 202


def new_dit() -> DiT:
    """An untrained DiT for the latents and the text of the cartoon model."""
    return DiT(dit_file.config_of(data.LATENT_CHANNELS, TEXT_WIDTH, data.LATENT_SIZE))


class DitTask(UnetTask):
    """Learn to predict the noise in a clip, given its caption. Settings: DitSettings."""

    name, new_network = "dit", staticmethod(new_dit)

    def fingerprint(self) -> dict[str, Any]:
        """The sizes of the network count, too."""
        config = json.loads(json.dumps(asdict(self.modules["unet"].config)))
        return super().fingerprint() | {"network": config}
