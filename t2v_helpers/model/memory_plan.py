"""Fit a model into limited memory: choose its dtype and memory savings from traced peaks, before anything is loaded.

    plan = memory_plan.plan("8GiB", 16, 256, 256, trace, gpu=True)
    print(plan)                                   all options considered, and the first that fits

`trace` returns what a model needs (loading.needs traces it without weights). Options are ordered by cost: decoding
frame by frame (VAE slicing) costs little, offloading moves each part to the GPU when it is used, and a chunked
feed-forward layer launches more kernels. A trace sees neither the driver, nor fragmentation, nor library workspaces:
RESERVE is kept for them. It has not been confirmed on a GPU yet.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor, nn

from t2v_helpers.core import checking
from t2v_helpers.inside import activation_memory

UNITS = {"GiB": 2**30, "MiB": 2**20, "GB": 10**9, "MB": 10**6}
RESERVE = 0.5 * 2**30, 0.1  # bytes for Python and the driver, and a share of everything else
PIECES = 4  # more save nothing: another layer is then the largest
HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Needs:
    """Bytes in float32 by part ("text_encoder", "unet", "vae"): its weights, and the peak of everything else.

    unet_in_pieces, vae_sliced: the peaks with the feed-forward layers in PIECES, and with VAE slicing.
    """

    weights: Mapping[str, int]
    peaks: Mapping[str, int]
    unet_in_pieces: int
    vae_sliced: int


@dataclass(frozen=True)
class MemoryOptions:
    """How a model is run: its dtype, and the three ways to save memory."""

    dtype: str
    vae_slicing: bool = False
    offload: bool = False
    in_pieces: bool = False

    def __str__(self) -> str:
        names = {"vae_slicing": "VAE slicing", "offload": "offload", "in_pieces": f"feed-forward in {PIECES} pieces"}
        return ", ".join([self.dtype, *(text for name, text in names.items() if getattr(self, name))])


@dataclass(frozen=True)
class Plan:
    """The options that were considered, in order, each with the bytes that it needs; the last are those chosen."""

    memory: int
    frames: int
    height: int
    width: int
    considered: Mapping[MemoryOptions, int]

    @property
    def options(self) -> MemoryOptions:
        """The first options that fit."""
        return list(self.considered)[-1]

    @property
    def needed(self) -> int:
        """Bytes that the chosen options need, RESERVE included."""
        return self.considered[self.options]

    def __str__(self) -> str:
        video = f"{self.frames} frames of {self.height}x{self.width}"
        lines = [f"  {format_bytes(size):>9}  {options}" for options, size in self.considered.items()]
        lines[-1] += "  <- the first that fits, and taken"
        return "\n".join([f"{video} in {format_bytes(self.memory)} of memory:", *lines])


def plan(
    memory: str | int, frames: int, height: int, width: int, trace: Callable[[int, int, int], Needs],
    dtypes: Iterable[str] = ("float16",), gpu: bool = False, otherwise: str = "",
) -> Plan:  # fmt: skip
    """The first options with which `frames` frames of that size, in pixels, fit into `memory` ("8GiB", or bytes).

    trace(frames, height, width) returns the Needs. dtypes: in order of preference. otherwise: last words of advice.
    Errors: ValueError of `parse_bytes`; MemoryError where nothing fits, with the least that does and what to ask for.
    """
    available, dtypes, traced = parse_bytes(memory), tuple(dtypes), cache(lambda n: trace(n, height, width))
    considered = {}
    for options in all_options(dtypes, gpu):
        considered[options] = needed(traced(frames), options)
        if considered[options] <= available:
            return Plan(available, frames, height, width, considered)
    smallest = min(considered, key=considered.get)
    raise MemoryError(
        f"memory={format_bytes(available)} is too little for {frames} frames of {height}x{width}: the least is "
        f"{format_bytes(considered[smallest], round_up=True)} ({smallest}); "
        f"{_alternatives(available, frames, traced, dtypes, gpu)}{otherwise}."
    )


def traced(parts: Mapping[str, nn.Module], frames: int, height: int, width: int) -> Needs:
    """The Needs of a model's parts, of loading.skeleton, for `frames` frames of that size in latent pixels.

    vae_sliced follows from the peak of one frame: the others wait as pixels, and concatenating holds all of them twice.
    """
    unet, vae = parts["unet"], parts["vae"]
    peaks = activation_memory.peaks(parts, frames, height, width)
    inputs = activation_memory.inputs(parts, frames, height, width)
    whole = activation_memory.peak(vae, *inputs["vae"], call=vae.decode)
    frame = vae.decode(inputs["vae"][0][:1]).sample.nbytes  # [1 3 h w] in pixels
    sliced = max(peaks["vae"] + (frames - 1) * frame, 2 * frames * frame)
    run_in_pieces(unet)
    in_pieces = activation_memory.peak(unet, *inputs["unet"])
    weights = {part: sum(x.nbytes for x in module.parameters()) for part, module in parts.items()}
    return Needs(weights, peaks | {"vae": whole}, in_pieces, sliced)


def all_options(dtypes: Iterable[str], gpu: bool) -> list[MemoryOptions]:
    """All options to consider, cheapest first. Only a GPU can offload: on the CPU the weights are there already."""
    ways = [{}, {"vae_slicing": True}, *([{"vae_slicing": True, "offload": True}] if gpu else [])]
    ways.append(ways[-1] | {"in_pieces": True})
    return [MemoryOptions(dtype, **way) for dtype in dtypes for way in ways]


def needed(needs: Needs, options: MemoryOptions) -> int:
    """Peak memory in bytes with these options, RESERVE included."""
    peaks = dict(needs.peaks)
    peaks |= {"vae": needs.vae_sliced} if options.vae_slicing else {}
    peaks |= {"unet": needs.unet_in_pieces} if options.in_pieces else {}
    if options.offload:
        total = max(needs.weights[part] + peaks[part] for part in peaks)
    else:
        total = sum(needs.weights.values()) + max(peaks.values())
    fixed, share = RESERVE
    return math.ceil(fixed + (1 + share) * total * (0.5 if options.dtype in HALF else 1.0))


def parse_bytes(memory: str | int) -> int:
    """ "8GiB", "500 MB" -> bytes; a whole number is bytes already. ValueError: not a size."""
    if isinstance(memory, int) and not isinstance(memory, bool) and 0 < memory < 2**63:
        return memory
    size = rf"\s*(\d{{1,12}}(?:\.\d+)?)\s*({'|'.join(UNITS)})\s*"  # more digits may overflow a float
    found = re.fullmatch(size, memory) if isinstance(memory, str) else None
    if not found or not float(found[1]):
        units = ", ".join(UNITS)
        raise ValueError(
            f"memory={checking.shown(memory)} is not a size: use a number above 0 and a unit ({units}), such as '8GiB'."
        )
    return int(float(found[1]) * UNITS[found[2]])


def format_bytes(size: int, round_up: bool = False) -> str:
    """Bytes as GiB with one decimal, or as MiB below 0.1 GiB."""
    if size < 0.1 * 2**30:
        return f"{size / 2**20:.0f} MiB"
    tenths = math.ceil(10 * size / 2**30) if round_up else round(10 * size / 2**30)
    return f"{tenths / 10:.1f} GiB"


def run_in_pieces(unet: nn.Module, pieces: int = PIECES) -> None:
    """Make each feed-forward layer of the UNet process its rows in chunks: same results, less memory.

    Each row (a pixel of a frame, or a frame of a pixel) is independent, so any cut will do. diffusers' own
    enable_forward_chunking needs a size that divides the rows of every layer, whatever the number of frames.
    """
    for name, layer in unet.named_modules():
        if name.endswith(".ff"):
            layer.forward = partial(_in_pieces, type(layer).forward.__get__(layer), pieces)


def _in_pieces(forward: Callable, pieces: int, x: Tensor) -> Tensor:
    return torch.cat([forward(piece) for piece in x.chunk(pieces)])  # along [(b f) or (b h w)]


_in_pieces.changes_nothing = True  # see inside/identity.py


def _alternatives(
    available: int, frames: int, trace: Callable[[int], Needs], dtypes: tuple[str, ...], gpu: bool
) -> str:
    """What to ask for instead: half precision, the most frames that fit, or both where only both together fit."""

    def fits(n: int, dtypes: tuple[str, ...]) -> bool:
        return any(needed(trace(n), options) <= available for options in all_options(dtypes, gpu))

    def fewer(dtypes: tuple[str, ...]) -> str:  # bisection: more frames never need less
        most = bisect_left(range(1, frames), True, key=lambda n: not fits(n, dtypes)) if fits(1, dtypes) else 0
        return f"ask for {most} frames, which fit" if most > 1 else "ask for 1 frame, which fits" if most else ""

    half = "float16" if gpu else "bfloat16"
    smaller = "" if set(dtypes) & set(HALF) else f"take the dtype {half}"
    found = [smaller if smaller and fits(frames, (half,)) else "", fewer(dtypes)]
    if smaller and not any(found) and (both := fewer((half,))):
        found = [f"{smaller} and {both}"]
    return ", or ".join(filter(None, found)) or "take another device, for not even one frame fits"
