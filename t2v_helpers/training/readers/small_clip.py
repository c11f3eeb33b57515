"""Training of the cartoon world's small CLIP, a real CLIPModel: a frame and its caption shall get similar vectors.

From a batch of pairs it learns which caption belongs to which frame (Radford et al. 2021, arXiv 2103.00020, figure 3).
Captions of the same labels mean the same, so they share the target, as in supervised contrastive learning (Khosla et
al. 2020, arXiv 2004.11362). It sees single frames, so it cannot know the direction of time.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPProcessor, CLIPTokenizer

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import layout
from t2v_helpers.core.seeding import seeded
from t2v_helpers.training import data
from t2v_helpers.training.export import write_folder
from t2v_helpers.training.loop import Task

FOLDER = metrics.CARTOON
FRAMES = 8  # of a rendered clip; each step sees one of them
TEXT_WIDTH, FRAME_WIDTH, SHARED = 96, 64, 64  # widths of a token, of a patch, and of the vectors that are compared


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP: tokens [b t] and frames [b 3 64 64] -> vectors [b 64] of length one."""
    marks = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    marks |= {"pad_token_id": tokenizer.pad_token_id, "vocab_size": len(tokenizer)}
    text = _sizes(TEXT_WIDTH, 1) | marks | {"max_position_embeddings": tokenizer.model_max_length}
    frame = _sizes(FRAME_WIDTH, 4) | {"image_size": cartoon.SIZE, "patch_size": 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=frame, projection_dim=SHARED))


def _sizes(width: int, layers: int) -> dict[str, int]:
    heads = {"num_attention_heads": 4, "num_hidden_layers": layers, "projection_dim": SHARED}
    return {"hidden_size": width, "intermediate_size": 4 * width} | heads


@dataclass(frozen=True)
class ClipSettings:
    """What decides the weights of the CLIP. The frames of the `pool` rendered clips are each seen many times."""

    seed: int = 0
    steps: int = 4000
    batch: int = 128
    pool: int = 4096
    lr: float = 2e-3
    warm_up: int = 100


class ClipTask(Task):
    """Learn which caption belongs to which frame."""

    name, ema = "clip", 0.998

    def __init__(self, settings: ClipSettings, tokenizer: CLIPTokenizer):
        super().__init__(settings, seeded(settings.seed, lambda: new_clip(tokenizer)))
        self.tokenizer, self.clip = tokenizer, data.pool(settings.seed, settings.pool, FRAMES)

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [b 3 64 64] in [-1, 1], tokens [b t], and a number [b] that equal labels share."""
        rng = np.random.default_rng((self.settings.seed, k))
        items = [self.clip(int(i)) for i in rng.integers(self.settings.pool, size=self.settings.batch)]
        frames = np.stack([item.frames[rng.integers(FRAMES)] for item in items])  # [b h w c]
        captions = [cartoon.caption(item.labels, *map(int, rng.integers(0, 60, size=3))) for item in items]
        kinds = {item.labels: n for n, item in enumerate(items)}
        alike = torch.tensor([kinds[item.labels] for item in items])
        x = layout.to_float(torch.from_numpy(frames[:, None]))[:, :, 0]
        return x, data.tokens(self.tokenizer, captions), alike

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The mean of both cross-entropies: captions given a frame, and frames given a caption."""
        frames, tokens, alike = batch
        logits = self.modules(input_ids=tokens, pixel_values=frames).logits_per_image  # [b b]
        same = alike[:, None] == alike  # [b b]
        wanted = same / same.sum(dim=1, keepdim=True)
        loss = (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2
        right = same.gather(1, logits.argmax(dim=1, keepdim=True)).float().mean()
        return loss, {"right": right.item()}


def export(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path = FOLDER) -> None:
    """Write a CLIP in fp16 as a folder for CLIPModel and CLIPProcessor, all or nothing."""
    from transformers import CLIPImageProcessor  # imported late, because it warns where torchvision is missing

    size = {"size": {"height": cartoon.SIZE, "width": cartoon.SIZE}, "do_center_crop": False}
    pixels = CLIPImageProcessor(image_mean=[0.5] * 3, image_std=[0.5] * 3, **size)  # [-1, 1], as in training
    write_folder(folder, model.half(), CLIPProcessor(pixels, tokenizer))
