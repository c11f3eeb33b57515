"""Pick the device and the dtype to run on, and measure the memory there: what the rest of the package calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from t2v_helpers.machine import probe

if TYPE_CHECKING:
    import torch

GIB, MIB = 2**30, 2**20
DTYPES = ("float32", "float16", "bfloat16")


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """The device to run on: "auto" (a GPU if torch sees one, else the CPU), "cpu", "cuda" or "cuda:1".

    ValueError: another name, or a GPU that torch does not see.
    """
    import torch

    from t2v_helpers.core.checking import shown

    name, found = str(name), probe.look_at_torch()
    if name == "auto":
        name = "cuda" if found.count else "cpu"
    if not re.fullmatch(r"cpu|cuda(:(0|[1-9][0-9]{0,8}))?", name):
        hint = " (ROCm's GPUs are called cuda, too)" if name.startswith(("rocm", "hip", "amd")) else ""
        raise ValueError(f'device={shown(name)} is unknown{hint}: use "auto", "cpu", "cuda" or "cuda:1".')
    if name != "cpu" and int(name[5:] or 0) >= found.count:
        seen = f"torch (built for {found.build}) sees {found.count} GPUs"
        raise ValueError(f'device={shown(name)} is not there, {seen}: use "auto" or "cpu"; `t2v info` says why.')
    return torch.device(name)


def pick_dtype(name: str | torch.dtype = "auto", device: str | torch.device = "cpu") -> torch.dtype:
    """The dtype to run in: "auto" (float16 on a GPU, float32 on the CPU), or one of DTYPES by name or as torch.dtype.

    ValueError: another dtype.
    """
    import torch

    from t2v_helpers.core.checking import shown

    name = str(name).removeprefix("torch.")
    if name == "auto":
        name = "float32" if torch.device(device).type == "cpu" else "float16"
    if name not in DTYPES:
        raise ValueError(f"dtype={shown(name)} is not allowed: use auto, {', '.join(DTYPES)}.")
    return getattr(torch, name)


def free_memory_bytes(device: str | torch.device = "cpu") -> int:
    """Bytes that can still be allocated: on a GPU also what torch has cached, on the CPU within a container's limit."""
    import torch

    if torch.device(device).type == "cpu":
        return probe.memory_bytes()[1]
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + cached


def keep_freed_memory() -> None:
    """Let Linux's C library keep up to 62 MiB of what tensors free for those that come next, instead of giving it back.

    What it gets again from the system comes a page at a time, filled with zeros: 14,000 pages in one step of the
    cartoon's UNet, a tenth of the step. How much to keep it learns from the largest block that it sees freed
    (mallopt(3), M_MMAP_THRESHOLD), so one of 31 MiB is freed here, unread. Elsewhere nothing happens.
    """
    import torch

    torch.empty(31 * MIB, dtype=torch.uint8)


@dataclass
class Peak:
    """The peak memory use inside a `peak_memory` block, in MiB; set when the block ends."""

    mib: float = float("nan")


@contextmanager
def peak_memory(device: str | torch.device = "cpu") -> Iterator[Peak]:
    """Measure the peak memory use inside the block: torch's allocations on a GPU, the whole process on the CPU.

    Blocks do not nest: an inner one resets the peak. Where the system cannot reset it (not Linux), the CPU's figure
    is the peak since the process began.
    """
    import torch

    peak, on_gpu = Peak(), torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    else:
        probe.reset_peak()
    try:
        yield peak
    finally:
        peak.mib = (torch.cuda.max_memory_allocated(device) if on_gpu else probe.peak_resident_bytes()) / MIB
