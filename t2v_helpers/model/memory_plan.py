"""What fits into so much memory, and what to give up for it: a plan from traced peaks, before anything is loaded.

    plan = memory_plan.plan("8GiB", 16, 256, 256, trace, gpu=True)
    print(plan)                                   every way that was weighed, and the first that fits

`trace` says what a model needs (loading.load traces it without its weights). The ways stand in the order of what they
cost: decoding frame by frame (VAE slicing) costs little, offloading moves each part to the GPU when its turn comes, and
a feed-forward layer in pieces starts more kernels. A trace knows neither the driver, nor the gaps between blocks, nor
the workspaces of libraries: RESERVE is kept for them, which no GPU has confirmed yet.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import Tensor, nn

from t2v_helpers.inside import activation_memory

UNITS = {"GiB": 2**30, "MiB": 2**20, "GB": 10**9, "MB": 10**6}
RESERVE = 0.5 * 2**30, 0.1  # bytes for Python's and the driver's own, and a share of all the rest
PIECES = 4  # more of them save nothing more: then another layer is the largest
HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Needs:
    """Bytes in float32, by part ("text_encoder", "unet", "vae"): the weights, and the peak of all else while it runs.

    unet_in_pieces, vae_sliced: these peaks with the feed-forward layers in PIECES, and decoding frame by frame.
    """

    weights: Mapping[str, int]
    peaks: Mapping[str, int]
    unet_in_pieces: int
    vae_sliced: int


@dataclass(frozen=True)
class Way:
    """How a model is run: its dtype, and the three ways to save memory."""

    dtype: str
    vae_slicing: bool = False
    offload: bool = False
    in_pieces: bool = False

    def __str__(self) -> str:
        names = {"vae_slicing": "VAE slicing", "offload": "offload", "in_pieces": f"feed-forward in {PIECES} pieces"}
        return ", ".join([self.dtype, *(told for name, told in names.items() if getattr(self, name))])


@dataclass(frozen=True)
class Plan:
    """The way that was chosen, and what every way that was weighed needs, in bytes; the chosen one is the last."""

    memory: int
    frames: int
    height: int
    width: int
    weighed: Mapping[Way, int]

    @property
    def way(self) -> Way:
        """The first way that fits."""
        return list(self.weighed)[-1]

    @property
    def needed(self) -> int:
        """Bytes that the chosen way needs, with RESERVE."""
        return self.weighed[self.way]

    def __str__(self) -> str:
        asked = f"{self.frames} frames of {self.height}x{self.width}"
        lines = [f"  {told_size(size):>9}  {way}" for way, size in self.weighed.items()]
        lines[-1] += "  <- the first that fits, and taken"
        return "\n".join([f"{asked} in {told_size(self.memory)} of memory:", *lines])


def plan(
    memory: str | int, frames: int, height: int, width: int, trace: Callable[[int, int, int], Needs],
    dtypes: Iterable[str] = ("float16",), gpu: bool = False, otherwise: str = "",
) -> Plan:  # fmt: skip
    """The first way in which so many frames of that size, in pixels, fit into `memory` ("8GiB", or bytes).

    trace(frames, height, width) gives the Needs. dtypes: in the order of preference. Errors: ValueError (no memory);
    MemoryError: nothing fits; it says the least that does, what to ask for instead, and then `otherwise`.
    """
    room, dtypes, traced = parse(memory), tuple(dtypes), cache(lambda n: trace(n, height, width))
    weighed = {}
    for way in ways(dtypes, gpu):
        weighed[way] = needed(traced(frames), way)
        if weighed[way] <= room:
            return Plan(room, frames, height, width, weighed)
    least = min(weighed.values())
    raise MemoryError(
        f"memory={told_size(room)} is too little for {frames} frames of {height}x{width}: the least is "
        f"{told_size(least, up=True)} ({min(weighed, key=weighed.get)}); "
        f"{_instead(room, frames, traced, dtypes, gpu)}{otherwise}."
    )


def traced(parts: Mapping[str, nn.Module], frames: int, height: int, width: int) -> Needs:
    """The Needs of a model's parts, of loading.skeleton, for so many frames of that size in latent pixels.

    vae_sliced is told from the peak of one frame: the others wait as pixels, and are twice there when they are joined.
    """
    unet, vae = parts["unet"], parts["vae"]
    peaks, given = (
        activation_memory.peaks(parts, frames, height, width),
        activation_memory.inputs(parts, frames, height, width),
    )
    whole = activation_memory.peak(vae, *given["vae"], call=vae.decode)
    frame = vae.decode(given["vae"][0][:1]).sample.nbytes  # [1 3 h w] in pixels
    sliced = max(peaks["vae"] + (frames - 1) * frame, 2 * frames * frame)
    run_in_pieces(unet)
    in_pieces = activation_memory.peak(unet, *given["unet"])
    weights = {part: sum(x.nbytes for x in module.parameters()) for part, module in parts.items()}
    return Needs(weights, peaks | {"vae": whole}, in_pieces, sliced)


def ways(dtypes: Iterable[str], gpu: bool) -> list[Way]:
    """All ways to be weighed, the cheapest first. Offload is for a GPU alone: the CPU has the weights already."""
    found = []
    for dtype in dtypes:
        plain = Way(dtype)
        sliced = replace(plain, vae_slicing=True)
        away = replace(sliced, offload=True)
        found += [plain, sliced, *([away] if gpu else []), replace(away if gpu else sliced, in_pieces=True)]
    return found


def needed(needs: Needs, way: Way) -> int:
    """Bytes that this way takes at its highest, with RESERVE."""
    peaks = dict(needs.peaks)
    if way.vae_slicing:
        peaks["vae"] = needs.vae_sliced
    if way.in_pieces:
        peaks["unet"] = needs.unet_in_pieces
    weights = dict(needs.weights)
    both = max(weights[part] + peaks[part] for part in peaks) if way.offload else sum(weights.values()) + max(
        peaks.values())  # fmt: skip
    fixed, share = RESERVE
    return math.ceil(fixed + (1 + share) * both * (0.5 if way.dtype in HALF else 1.0))


def parse(memory: str | int) -> int:
    """ "8GiB", "500 MB" -> bytes; a whole number is bytes already. ValueError: no such size."""
    if isinstance(memory, int) and not isinstance(memory, bool) and 0 < memory < 2**63:
        return memory
    size = rf"\s*(\d{{1,12}}(?:\.\d+)?)\s*({'|'.join(UNITS)})\s*"  # more digits may be no float
    found = re.fullmatch(size, memory) if isinstance(memory, str) else None
    if not found or not float(found[1]):
        units = ", ".join(UNITS)
        raise ValueError(f"memory={memory!r} is no size: give a number above 0 and a unit ({units}), '8GiB' say.")
    return int(float(found[1]) * UNITS[found[2]])


def told_size(size: int, up: bool = False) -> str:
    """Bytes as GiB with one decimal, rounded up where less would not do; what is less than that, as MiB."""
    if size < 0.1 * 2**30:
        return f"{size / 2**20:.0f} MiB"
    tenths = math.ceil(10 * size / 2**30) if up else round(10 * size / 2**30)
    return f"{tenths / 10:.1f} GiB"


def run_in_pieces(unet: nn.Module, pieces: int = PIECES) -> None:
    """From now on each feed-forward layer of the UNet takes its rows in so many pieces: the same results, less memory.

    Each row (a pixel of a frame, or a frame of a pixel) goes through by itself, so any cut will do. diffusers' own
    enable_forward_chunking demands a size that divides every layer's rows, and with it every number of frames.
    """
    for name, layer in unet.named_modules():
        if name.endswith(".ff"):
            layer.forward = partial(_in_pieces, type(layer).forward.__get__(layer), pieces)


def _in_pieces(forward: Callable, pieces: int, x: Tensor) -> Tensor:
    return torch.cat([forward(piece) for piece in x.chunk(pieces)])  # along [(b f) or (b h w)]


def _instead(room: int, frames: int, trace: Callable[[int], Needs], dtypes: tuple[str, ...], gpu: bool) -> str:
    """What to ask for instead: a dtype of half the size, or the most frames that fit, or both where only both will do.

    More frames never need less, so the most that fit are found by halving.
    """

    def fits(n: int, kinds: tuple[str, ...]) -> bool:
        return any(needed(trace(n), way) <= room for way in ways(kinds, gpu))

    def fewer(kinds: tuple[str, ...]) -> str:
        most = bisect_left(range(1, frames), True, key=lambda n: not fits(n, kinds)) if fits(1, kinds) else 0
        return f"ask for {most} frames, which fit" if most > 1 else "ask for 1 frame, which fits" if most else ""

    half = "float16" if gpu else "bfloat16"
    smaller = "" if set(dtypes) & set(HALF) else f"take the dtype {half}"
    found = [smaller if smaller and fits(frames, (half,)) else "", fewer(dtypes)]
    if smaller and not any(found) and (both := fewer((half,))):
        found = [f"{smaller} and {both}"]
    return ", or ".join(filter(None, found)) or "take another device, for not even one frame fits"
