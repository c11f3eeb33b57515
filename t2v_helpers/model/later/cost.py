"""What later models cost, traced on the meta device: parameters, tokens, FLOPs, bytes of weights.

    rows = cost.rows()                         all of them, each with the clip that it makes unless asked otherwise
    tables.aligned([cost.COSTS, *cost.costs(rows)])
    cost.call(published.MODELS["wan2.1"])      one call of a denoiser, module by module

A call is one pass of the denoiser over one video (b = 1). With guidance a step is two calls. STEPS is what all six
pipelines of diffusers take unless asked otherwise. Text encoder and decoder run once, and are left out of the FLOPs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from t2v_helpers.core import checking
from t2v_helpers.inside import tracing
from t2v_helpers.inside.tracing import Trace, si
from t2v_helpers.model.later.published import MODELS, OBJECTIVES, Clip, Published

STEPS, CALLS = 50, 2  # of one video, and of one guided step
HALF = 2  # bytes of a parameter in bfloat16


@dataclass(frozen=True)
class Row:
    """A model and a clip: parameters of its parts, and FLOPs of one call of its denoiser, by the kind of its layers."""

    model: Published
    clip: Clip
    parameters: dict[str, int]
    kinds: dict[str, int]

    @property
    def call(self) -> int:
        """FLOPs of one call."""
        return sum(self.kinds.values())

    @property
    def weights(self) -> int:
        """Bytes of all weights in bfloat16."""
        return HALF * sum(self.parameters.values())

    @property
    def each_second(self) -> float:
        """FLOPs of the denoiser for a second of video, in STEPS guided steps."""
        return STEPS * CALLS * self.call / self.clip.seconds

    @property
    def each_pixel(self) -> float:
        """The same for a pixel of a frame."""
        return STEPS * CALLS * self.call / (self.clip.frames * self.clip.height * self.clip.width)


def row(model: Published, clip: Clip | None = None) -> Row:
    """The costs of a model; None: of its own clip. Takes seconds. ValueError: a clip that it cannot make."""
    clip, parts = clip or model.clip, model.parts()
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    kinds = call(model, clip, parts["denoiser"]).by_kind()
    return Row(model, clip, counts, {kind: work.flops for kind, work in kinds.items()})


def rows(names: Iterable[str] = tuple(MODELS)) -> list[Row]:
    """The rows of models, by name. ValueError: a name that is not in MODELS."""
    return [row(MODELS[checking.one_of("names", name, MODELS)]) for name in names]


def call(model: Published, clip: Clip | None = None, denoiser: nn.Module | None = None) -> Trace:
    """One pass of the denoiser (None: built for it) over a clip. ValueError: a clip that it cannot make."""
    denoiser = denoiser or model.parts()["denoiser"]
    with torch.device("meta"):
        latents = torch.zeros(1, *model.latent_shape(clip))  # [b c f h w]
        given = INPUTS[type(denoiser).__name__](denoiser.config, model, latents)
    with _EveryTokenCounts():
        return tracing.trace(denoiser, **given)


# --- what each denoiser reads: latents [b c f h w], a time, text [b t d]


def _unet(config, model: Published, latents: Tensor) -> dict:
    return {"sample": latents, "timestep": 500, "encoder_hidden_states": _text(model, config.cross_attention_dim)}


def _wan(config, model: Published, latents: Tensor) -> dict:
    f, h, w = (place // patch for place, patch in zip(latents.shape[2:], config.patch_size, strict=True))
    time = torch.zeros(1, f * h * w) if model.one_time_per_token else torch.zeros(1)
    return {"hidden_states": latents, "timestep": time, "encoder_hidden_states": _text(model, config.text_dim)}


def _ltx(config, model: Published, latents: Tensor) -> dict:
    f, h, w = latents.shape[2:]
    tokens, text = latents.flatten(2).transpose(1, 2), _text(model, config.caption_channels)  # [b (f h w) c]
    return {"hidden_states": tokens, "timestep": torch.zeros(1), "num_frames": f, "height": h, "width": w,
            "encoder_hidden_states": text, "encoder_attention_mask": torch.ones(text.shape[:2])}  # fmt: skip


def _cogvideox(config, model: Published, latents: Tensor) -> dict:
    return {"hidden_states": latents.transpose(1, 2), "timestep": torch.zeros(1),  # [b f c h w]
            "encoder_hidden_states": _text(model, config.text_embed_dim)}  # fmt: skip


def _hunyuan(config, model: Published, latents: Tensor) -> dict:
    """Beside the latents it reads a first frame and a mask (zeros for text to video), and two texts and a picture."""
    words, glyphs, image = (torch.zeros(1, n, d) for n, d in zip(model.text_tokens, (
        config.text_embed_dim, config.text_embed_2_dim, config.image_embed_dim), strict=True))  # fmt: skip
    return {"hidden_states": torch.zeros(1, config.in_channels, *latents.shape[2:]), "timestep": torch.zeros(1),
            "encoder_hidden_states": words, "encoder_attention_mask": torch.ones(words.shape[:2]),
            "encoder_hidden_states_2": glyphs, "encoder_attention_mask_2": torch.ones(glyphs.shape[:2]),
            "image_embeds": image}  # fmt: skip


def _text(model: Published, width: int) -> Tensor:
    return torch.zeros(1, model.text_tokens[0], width)  # [b t d]


INPUTS: dict[str, Callable] = {
    "UNet3DConditionModel": _unet, "UNet3D": _unet, "WanTransformer3DModel": _wan, "LTXVideoTransformer3DModel": _ltx,
    "CogVideoXTransformer3DModel": _cogvideox, "HunyuanVideo15Transformer3DModel": _hunyuan,
}  # fmt: skip


class _EveryTokenCounts(TorchFunctionMode):
    """HunyuanVideo sorts its text by masks, whose values the meta device does not know: here every token is valid.

    Sorting changes no shape, so it changes no count. `x[mask]` is all of x, and `x[~mask]` none of it.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is Tensor.__bool__ and args[0].is_meta:
            return False
        if func is Tensor.__getitem__ and _is_mask(args[1]):
            return args[0][:0] if getattr(args[1], "turned", False) else args[0]
        out = func(*args, **(kwargs or {}))
        if func is Tensor.__invert__ and out.is_meta:
            out.turned = not getattr(args[0], "turned", False)
        return out


def _is_mask(index: object) -> bool:
    return isinstance(index, Tensor) and index.dtype is torch.bool and index.is_meta


# --- as rows of a table


HEAD = ("", "year", "licence", "learns", "backbone", "stride t h w", "channels", "clip", "fps", "tokens")
COSTS = ("", "denoiser", "text", "VAE", "weights, bf16", "a call", "a second", "a pixel")


def facts(found: Iterable[Row]) -> list[tuple]:
    """What HEAD names, a tuple for each row: what the model is, and how many tokens its clip has."""
    return [
        (m.title, m.year, m.licence, OBJECTIVES[m.objective], m.backbone, " ".join(map(str, m.stride)), m.channels,
         r.clip, r.clip.fps, f"{m.tokens(r.clip):,}")
        for r in found for m in [r.model]
    ]  # fmt: skip


def costs(found: Iterable[Row]) -> list[tuple]:
    """What COSTS names, a tuple for each row: parameters, bytes and FLOPs."""
    return [(r.model.title, *map(_count, _parameters(r)), f"{r.weights / 2**30:.1f} GiB",
             *(f"{si(n)}FLOP" for n in (r.call, r.each_second, r.each_pixel))) for r in found]  # fmt: skip


def _parameters(found: Row) -> tuple[int, int, int]:
    text = sum(n for name, n in found.parameters.items() if name.startswith("text_encoder"))
    return found.parameters["denoiser"], text, found.parameters["vae"]


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} G"
