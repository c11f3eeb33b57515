"""How the small CLIP of the cartoon world is trained: a frame and its caption shall point the same way.

It is a real CLIPModel, small. From a batch of pairs it learns which caption belongs to which frame (Radford et al.
2021, arXiv 2103.00020, figure 3). Captions of the same labels mean the same, so they share the credit, as in supervised
contrastive learning (Khosla et al. 2020, arXiv 2004.11362). It sees single frames: it cannot know which way time goes.
"""

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPProcessor, CLIPTokenizer

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import files, layout
from t2v_helpers.core.seeding import seeded
from t2v_helpers.training.loop import cosine

FOLDER = metrics.CARTOON
FRESH_SEED = 1_000_003  # a stream of renders that no training draws from
FRAMES = 8  # of a rendered clip, one of which is shown at a time
TEXT_WIDTH, FRAME_WIDTH, SHARED = 96, 64, 64  # numbers a token, a patch, and a whole caption or frame


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP: tokens [b 24] and frames [b 3 64 64] -> vectors [b 64] of length one."""
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
    """What decides the weights of the CLIP. `pool`: how many clips are rendered; their frames are seen many times."""

    seed: int = 0
    steps: int = 4000
    batch: int = 128
    pool: int = 4096
    lr: float = 2e-3
    warm_up: int = 100


class ClipTask:
    """Learn which caption belongs to which frame. Settings: ClipSettings. A `loop.Task`."""

    name, ema = "clip", 0.998

    def __init__(self, settings: ClipSettings, tokenizer: CLIPTokenizer):
        self.modules = seeded(settings.seed, lambda: new_clip(tokenizer))
        self.tokenizer, self.chosen, self.steps = tokenizer, settings, settings.steps
        self.settings = asdict(settings)
        self.clip = lru_cache(settings.pool)(self._render)

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [b 3 64 64] in [-1, 1], tokens [b 24], and a number for each one's labels [b]."""
        rng = np.random.default_rng((self.chosen.seed, k))
        items = [self.clip(int(i)) for i in rng.integers(self.chosen.pool, size=self.chosen.batch)]
        frames = np.stack([item.frames[rng.integers(FRAMES)] for item in items])  # [b h w c]
        captions = [cartoon.caption(item.labels, *map(int, rng.integers(0, 60, size=3))) for item in items]
        tokens = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        kinds = {item.labels: n for n, item in enumerate(items)}
        alike = torch.tensor([kinds[item.labels] for item in items])
        return layout.to_float(torch.from_numpy(frames[:, None]))[:, :, 0], tokens, alike

    def _render(self, index: int) -> cartoon.Item:
        return cartoon.item(self.chosen.seed, index, FRAMES, split="all")

    def within(self, k: int) -> nullcontext:
        """Nothing to set."""
        return nullcontext()

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The mean of both cross-entropies, of captions given a frame and of frames given a caption."""
        frames, tokens, alike = batch
        logits = self.modules(input_ids=tokens, pixel_values=frames).logits_per_image  # [b b]
        same = alike[:, None] == alike  # [b b]
        wanted = same / same.sum(dim=1, keepdim=True)
        loss = (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2
        right = same.gather(1, logits.argmax(dim=1, keepdim=True)).float().mean()
        return loss, {"right": right.item()}

    def lr(self, k: int) -> float:
        """Warm-up, then a cosine to zero."""
        return self.chosen.lr * min(1, (k + 1) / self.chosen.warm_up) * cosine(k / self.steps)


def ship(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path = FOLDER) -> None:
    """Write a CLIP in fp16 as a folder for CLIPModel and CLIPProcessor, all of it or nothing."""
    from transformers import CLIPImageProcessor  # here, for it warns where torchvision is missing

    size = {"size": {"height": cartoon.SIZE, "width": cartoon.SIZE}, "do_center_crop": False}
    pixels = CLIPImageProcessor(image_mean=[0.5] * 3, image_std=[0.5] * 3, **size)  # [-1, 1], as in training

    def write(new: Path) -> None:
        model.half().save_pretrained(new, safe_serialization=True)
        CLIPProcessor(pixels, tokenizer).save_pretrained(new)
        files.write_manifest(new)

    files.replace_folder(folder, write)


def retrieval(clip: metrics.Clip, n: int = 128, seed: int = FRESH_SEED) -> dict[str, metrics.Share]:
    """How often, of n fresh renders with n different sets of labels, the nearest caption to a frame is its own.

    Also label by label: how often the nearest caption names the right subject, action, place or style.
    """
    drawn = (cartoon.item(seed, i, 1, split="all") for i in range(4 * n))
    items = list({item.labels: item for item in drawn}.values())[:n]
    frames = clip.of_frames(np.concatenate([item.frames for item in items]))  # [n d]
    nearest = (frames @ clip.of_words([item.caption for item in items]).T).argmax(dim=1)  # [n]
    read = [items[i].labels for i in nearest]
    return metrics.adherence(read, [item.labels for item in items], {}).shares
