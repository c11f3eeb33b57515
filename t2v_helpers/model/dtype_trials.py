"""Try each dtype on this device: the models' kinds of layers, their attention, and a first step of the cartoon model.

    for trial in dtype_trials.run("cuda"): print(trial)

Versions do not tell whether a dtype works: layers may fail, attention may silently fall back to its slow backend, and
values may overflow to NaN (huggingface/diffusers#10314: on MI300X, in half precision).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2v_helpers.core import seeding
from t2v_helpers.core.files import reason
from t2v_helpers.machine import probe, rocm
from t2v_helpers.machine.device import DTYPES, pick_device
from t2v_helpers.model import loading, memory_plan

HEAD = 64  # channels per head, as in ModelScope
ATTENTIONS = {"along a frame": (2, 5, 1024, HEAD), "along time": (64, 5, 16, HEAD)}  # [b heads n d], of 256x256 pixels
BACKENDS = ("math", "flash", "memory-efficient", "cudnn", "fused")  # numbered as in torch's SDPBackend
MATH = BACKENDS[0]
NEAR = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}  # error over the largest value; TF32 included
WORKS, NOT_FINITE = "works", "values that are not finite"
PROMPT = "a robot is dancing"


@dataclass(frozen=True)
class Trial:
    """One dtype on one device. layers, first_step: "works" or what is wrong; attention: where -> backend ("flash")."""

    dtype: str
    layers: str
    attention: dict[str, str]
    first_step: str

    def __str__(self) -> str:
        attention = ", ".join(f"{backend} {where}" for where, backend in self.attention.items())
        return f"{self.dtype:9} layers: {self.layers}; attention: {attention}; first step: {self.first_step}"


def run(device: str | torch.device = "auto") -> Iterator[Trial]:
    """Try each of DTYPES, which takes seconds; failures are reported in the Trial. ValueError: no such device."""
    device = pick_device(device)
    for name in DTYPES:
        dtype = getattr(torch, name)
        attention = {where: report(attention_backend, shape, dtype, device) for where, shape in ATTENTIONS.items()}
        yield Trial(name, report(layers_in, dtype, device), attention, report(first_step, dtype, device))


def advice(trials: list[Trial]) -> list[str]:
    """What to do about the failures and slow backends that were found."""
    found = []
    bad = [t.dtype for t in trials if not t.first_step == t.layers == WORKS]
    good = [t.dtype for t in trials if t.dtype not in bad]
    if bad:
        take = f"take dtype={good[-1]!r}" if good else "take device='cpu'"
        found.append(f"{', '.join(bad)} cannot be relied on here: {take}.")
    slow = [t.dtype for t in trials if MATH in t.attention.values() and t.dtype in good]
    if slow:
        found.append(
            f"Attention in {', '.join(slow)} runs by math: slow, and its memory grows with the square of the pixels. "
            "On a Radeon, set TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL=1 and try again."
        )
    return found


def report(trial: Callable[..., str], *arguments: object) -> str:
    """The result of trial(*arguments) or, in one line, the error that it raised and what to do about it."""
    try:
        return trial(*arguments)
    except (RuntimeError, MemoryError) as error:  # torch raises these for all failures of a device
        advice = rocm.explain(str(error), probe.look_at_torch().gfx)
        return f"fails ({reason(error)})" + (f": {advice}" if advice else "")


@torch.no_grad()
def layers_in(dtype: torch.dtype, device: torch.device) -> str:
    """ "works" where the models' kinds of layers agree, within NEAR, with float32 on the CPU; else what is wrong."""
    net, x = seeding.seeded(0, _Net).eval(), seeding.noise([0, 1], (8, 4, 8, 8))  # [b c f h w]
    wanted = net(x)
    found = net.to(device, dtype)(x.to(device, dtype)).float().cpu()
    if not found.isfinite().all():
        return NOT_FINITE
    off = float((found - wanted).abs().max() / wanted.abs().max())
    near = NEAR[str(dtype).removeprefix("torch.")]
    return WORKS if off < near else f"{off:.0%} off the CPU's float32"


@torch.no_grad()
def attention_backend(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> str:
    """The backend that torch takes, and that works, for queries, keys and values of shape [b heads n d]."""
    q, k, v = torch.zeros(3, *shape, dtype=dtype, device=device)
    F.scaled_dot_product_attention(q, k, v)
    return BACKENDS[torch._fused_sdp_choice(q, k, v)]  # the call by which scaled_dot_product_attention itself chooses


@torch.no_grad()
def first_step(dtype: torch.dtype, device: torch.device) -> str:
    """ "works" where the cartoon model's first UNet call, on pure noise, is finite. Errors: those of loading.load."""
    options = memory_plan.MemoryOptions(str(dtype).removeprefix("torch."))
    plain = memory_plan.Plan(0, 4, 64, 64, {options: 0})  # this dtype, whatever T2V_MEMORY asks for
    pipe = loading.load("cartoon", device, dtype, quiet=True, memory=plain)
    ids = pipe.tokenizer(PROMPT, padding="max_length", return_tensors="pt").input_ids.to(device)  # [b t]
    x_T = seeding.noise([0], (loading.latent_channels(pipe), 4, 8, 8)).to(device, dtype)  # [b c f h w]
    eps = pipe.unet(x_T, 999, encoder_hidden_states=pipe.text_encoder(ids)[0]).sample
    return WORKS if eps.isfinite().all() else NOT_FINITE


class _Net(nn.Module):
    """The kinds of layers in a text-to-video UNet, in sequence."""

    def __init__(self):
        super().__init__()
        self.space, self.time = nn.Conv2d(8, 8, 3, padding=1), nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0))
        self.norm, self.line = nn.GroupNorm(2, 8), nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.stack([self.space(frame) for frame in x.unbind(2)], dim=2)  # [b c f h w]
        x = F.silu(self.norm(self.time(x)))
        q, k, v = self.line(x.flatten(2).mT).chunk(3, dim=-1)  # [b n c]
        return F.scaled_dot_product_attention(*(y[:, None] for y in (q, k, v)))  # [b 1 n c]
