"""What is measured, each stage in its own process: there, peak memory is that of the stage alone.

A child reads a Request from its standard input and writes what it found to its standard output, both as JSON.
"""

import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from t2v_helpers.core import paths
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import schedulers
from t2v_helpers.machine import probe
from t2v_helpers.machine.device import MIB, peak_memory
from t2v_helpers.model import denoising, generate, loading

PROMPT = "a robot is dancing in times square"
SCHEDULERS = ("ddim", "dpm++", "lms", "pndm")  # the four of the blog
STEPS = 50  # the blog's; only the first is made here
_CHILD = "from t2v_helpers.course.dry_run import stages; stages.child()"


@dataclass(frozen=True)
class Request:
    """What a child is asked. stage: a key of STAGES. model: as for loading.load. pixels: height and width."""

    stage: str
    model: str
    dtype: str
    frames: int
    pixels: int
    names: tuple[str, ...] = SCHEDULERS

    def spec(self, scheduler: str = "ddim") -> GenerationSpec:
        """What is made."""
        size = {"frames": self.frames, "height": self.pixels, "width": self.pixels}
        return GenerationSpec(PROMPT, scheduler=scheduler, steps=STEPS, **size)


def ask(request: Request, hub: Path) -> dict:
    """What a child found, with `hub` as its hub cache and without network.

    Errors: MemoryError (the system killed it), RuntimeError (it failed; its error is on stderr).
    """
    surroundings = os.environ | {"HF_HUB_CACHE": str(hub.resolve()), "HF_HUB_OFFLINE": "1"}
    settings = {"stdout": subprocess.PIPE, "text": True, "env": surroundings, "cwd": paths.ROOT}
    done = subprocess.run([sys.executable, "-c", _CHILD], input=json.dumps(asdict(request)), **settings)
    if done.returncode == -9:
        raise MemoryError(f"the system killed the stage {request.stage!r}, so memory ran out: close other programs.")
    if done.returncode:
        raise RuntimeError(f"the stage {request.stage!r} failed with exit status {done.returncode}; see above.")
    return json.loads(done.stdout.splitlines()[-1])


def child() -> None:
    """Do what standard input asks, and print what was found."""
    asked = json.loads(sys.stdin.read())
    try:
        print(json.dumps(answer(Request(**asked | {"names": tuple(asked["names"])}))))
    except KeyboardInterrupt:  # the parent got it too and reports it
        sys.exit(130)


def answer(request: Request) -> dict:
    """What a stage finds, in this process."""
    before = {"baseline": baseline(), "peaks_apart": probe.reset_peak(), "threads": torch.get_num_threads()}
    return before | STAGES[request.stage](request)


def baseline() -> int:
    """Resident bytes of a Python that has loaded, run and freed a very small model."""
    pipe = loading.load("cartoon", "cpu", quiet=True)
    generate.generate(pipe, GenerationSpec(PROMPT, steps=2, frames=2))
    del pipe
    trim_memory()
    return probe.resident_bytes(os.getpid())


def step_and_decode(request: Request) -> dict:
    """Load, make one guided step, decode its frames: each with its seconds and its peak resident bytes."""
    found, phases = {}, tqdm(total=3, desc="load, step, decode", unit="phase")
    with measured(found, "load", phases):
        pipe = _load(request)
    with measured(found, "step", phases):
        step = next(denoising.denoise(pipe, request.spec()))
    with measured(found, "decode", phases):
        frames = denoising.decode_latents(pipe, step.latents)  # [b f h w c]
    sets = weights_of([pipe])
    return {"phases": found, "finite": bool(step.latents.isfinite().all()), "frames": list(frames.shape)} | sets


def shared(request: Request) -> dict:
    """Load once; make one guided step with each scheduler, all on these weights: what they hold, where they arrive.

    "arrived" is scheduler -> flat list of values. One frame of the smallest size shows whether the weights are equal.
    """
    found = {}
    with measured(found, "load"):
        pipe = _load(request)
    with loading.quiet_libraries():
        made = {name: schedulers.make(name, pipe.scheduler.config) for name in request.names}
        pipes = {name: type(pipe)(**pipe.components | {"scheduler": scheduler}) for name, scheduler in made.items()}
    trim_memory()
    held = probe.resident_bytes(os.getpid())
    one = replace(request, frames=1, pixels=loading.size_multiple(pipe))
    steps = tqdm(pipes.items(), desc="first step", unit="scheduler")
    arrived = {name: next(denoising.denoise(pipe, one.spec(name))).latents.flatten().tolist() for name, pipe in steps}
    return {"phases": found, "held": held, "arrived": arrived} | weights_of(list(pipes.values()))


STAGES = {"step": step_and_decode, "shared": shared}


def weights_of(pipes: list) -> dict[str, int]:
    """Parameters of one pipeline, and the bytes of all weights of these pipelines; shared ones count once."""
    parts = [[pipe.text_encoder, pipe.unet, pipe.vae] for pipe in pipes]
    stored = {p.data_ptr(): p.nbytes for part in sum(parts, []) for p in part.parameters()}
    return {"parameters": sum(p.numel() for part in parts[0] for p in part.parameters()), "bytes": sum(stored.values())}


def _load(request: Request):
    """The pipeline, with every page of its weights read: weights in their stored dtype are only mapped at first."""
    pipe = loading.load(request.model, "cpu", request.dtype, offline=True, quiet=True)
    page = 4096 // pipe.unet.dtype.itemsize
    for part in (pipe.text_encoder, pipe.unet, pipe.vae):
        for parameter in part.parameters():
            parameter.detach().flatten()[::page].sum()
    return pipe


@contextmanager
def measured(found: dict, name: str, bar: tqdm | None = None) -> Iterator[None]:
    """Record the seconds of the block and its peak resident bytes under `name`."""
    trim_memory()
    start = time.perf_counter()
    with peak_memory() as peak:
        yield
    found[name] = {"seconds": time.perf_counter() - start, "peak": int(peak.mib * MIB)}
    if bar is not None:
        bar.update()


def trim_memory() -> None:
    """Return freed memory to the system: glibc keeps it, and it would count in the next phase."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
