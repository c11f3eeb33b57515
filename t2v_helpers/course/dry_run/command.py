"""`make dry-run`: the real model's pipeline with random weights, on a CPU.

    t2v dry-run                      in bfloat16 where the CPU computes in it, else in float32
    t2v dry-run --dtype float32      more memory and disk: 9 GiB and 11 GB

It fills the published configuration of ModelScopeT2V with random numbers, in a folder like the hub's cache, and loads
it like the real model. Then it makes one guided step, decodes a few frames, and compares the memory with what the
configuration alone predicts. Last, it runs the blog's four schedulers on one set of weights, and on four.

It cannot show a video (the weights are untrained), or anything about a GPU.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from t2v_helpers.core import arguments, checking, files
from t2v_helpers.course.dry_run import folder, report, stages
from t2v_helpers.inside import activation_memory
from t2v_helpers.machine import probe
from t2v_helpers.machine.device import GIB, free_memory_bytes
from t2v_helpers.model import folders, hub, loading

FOLDER, OUT = Path("dry_run"), Path("outputs/dry_run.json")
BASELINE = 6 * 2**27  # bytes, about what Python and the libraries take; used before anything is measured
DTYPES = ("auto", "float32", "bfloat16")


def auto_dtype() -> str:
    """bfloat16 where torch reports that the CPU computes in it, else float32."""
    known = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older versions of torch
    return "bfloat16" if any(there is True for name, there in known.items() if "bf16" in name) else "float32"


def run(cache: folder.Cache, dtype: str, frames: int, pixels: int = 256) -> dict:
    """Write the weights, measure, and check: {"about", "parts", "memory", "checks"} for JSON, and "text".

    pixels: height and width. Errors: those of `folder.prepare` and `stages.ask`; MemoryError: a stage would not fit.
    """
    asked = stages.Request("step", cache.model, dtype, frames, pixels)
    converted = dtype == "bfloat16"  # the files hold float32 and float16: bfloat16 is made from the latter
    written = folder.prepare(cache, ("fp16",) if converted else (None, "fp16"))
    skeleton = loading.skeleton(cache.snapshot)
    side = pixels // folders.LATENT_SCALE
    traced = activation_memory.peaks(skeleton, frames, side, side)
    sizes = [{w.path.parent.name: w.size for w in some} for some in (written[:3], written[-3:])]
    parts = report.parts_of(skeleton, getattr(torch, dtype), traced, sizes[0])
    half = report.parts_of(skeleton, torch.bfloat16, traced, sizes[1])
    step = _ask(cache, asked, report.loading(parts, converted) + parts.activations["unet"])
    one, many = _four(cache, asked, report.loading(half, True))
    made = report.rows(parts, step, converted) + report.copies(half, one, many)
    parameters = sum(p.numel() for part in skeleton.values() for p in part.parameters())
    held = report.checks(parameters, half, step, one, many, (frames, pixels, pixels)) + report.agreement(made)
    about = _about(cache, asked, step)
    return report.to_dict(about, parts, made, held) | {"text": report.text(about, made, held)}


def _four(cache: folder.Cache, asked: stages.Request, needed: int) -> tuple[dict, dict]:
    """Four schedulers on one set of weights, and each on its own set, as in the blog: one after another, added up.

    Always in bfloat16, which is converted: on a CPU, weights stored in the dtype asked for are mapped from the file,
    and pipelines would share its pages. On a GPU each has its own copy. needed: bytes that loading one takes.
    """
    asked = replace(asked, stage="shared", dtype="bfloat16")
    alone = [replace(asked, names=(name,)) for name in asked.names]
    return _ask(cache, asked, needed), added([_ask(cache, one, needed) for one in alone])


def added(alone: list[dict]) -> dict:
    """What pipelines would take together that were loaded one after another, each in its own process."""
    loads = [found["phases"]["load"] for found in alone]
    load = {"seconds": sum(load["seconds"] for load in loads), "peak": max(load["peak"] for load in loads)}
    held = alone[0]["baseline"] + sum(found["held"] - found["baseline"] for found in alone)
    arrived = {name: values for found in alone for name, values in found["arrived"].items()}
    whole = {"held": held, "bytes": sum(found["bytes"] for found in alone), "arrived": arrived, "sets": len(alone)}
    return alone[0] | whole | {"phases": {"load": load}}


def _ask(cache: folder.Cache, asked: stages.Request, needed: int) -> dict:
    """What a stage found. MemoryError: less than `needed` plus the baseline is free."""
    free = free_memory_bytes()
    if BASELINE + needed > free:
        raise MemoryError(
            f"the stage {asked.stage!r} needs {(BASELINE + needed) / GIB:.1f} GiB of memory, but "
            f"{free / GIB:.1f} are free: close other programs, or use --dtype bfloat16."
        )
    return stages.ask(asked, cache.hub_cache)


def _about(cache: folder.Cache, asked: stages.Request, step: dict) -> dict:
    return {
        "weights": f"random, in the shape of {hub.MODELSCOPE}, in {cache.root}",
        "dtype": asked.dtype,
        "video": f"{asked.frames} frames of {asked.pixels}x{asked.pixels}, the first of {stages.STEPS} steps",
        "machine": f"{probe.cpu_name()}, {probe.in_threads(step['threads'])}, torch {torch.__version__}",
        "baseline": f"{step['baseline'] / GIB:.2f} GiB: Python and the libraries, part of each number",
        "four sets": "in bfloat16, loaded one after another, and added up",
    }


def _check_out(path: Path) -> None:
    """Know that the report can be written and replaces at most an older one. ValueError; files.check_target."""
    checking.suffix("--out", path, ".json")
    files.check_target(path)
    if path.exists() and not report.is_one(path):
        raise ValueError(
            f"--out {checking.shown(str(path))} would replace a file that is not a dry run's report: give another name."
        )


def main(argv: list[str] | None = None) -> int:
    """`t2v dry-run`: returns 1 where a stage fails or a check does not hold. Errors: see `run`; ValueError: --out."""
    p = arguments.Parser(prog="t2v dry-run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dtype", choices=DTYPES, default="auto", help="(%(default)s)")
    p.add_argument("--frames", type=arguments.whole(16), default=4, help="how many to make and decode (%(default)s)")
    p.add_argument("--folder", type=arguments.path, default=FOLDER, help="where the weights are kept (%(default)s)")
    p.add_argument("--out", type=arguments.path, default=OUT, help="the report, .json (%(default)s)")
    options = p.parse_args(argv)
    _check_out(options.out)
    try:
        dtype = auto_dtype() if options.dtype == "auto" else options.dtype
        made = run(folder.Cache(options.folder), dtype, options.frames)
    except RuntimeError as error:
        print(f"{p.prog}: {error}", file=sys.stderr)
        return 1
    print(made.pop("text"))
    files.write_text(options.out, json.dumps(made, indent=2) + "\n")
    failed = [check["what"] for check in made["checks"] if not check["holds"]]
    print(f"\n{options.out} has all of it. {options.folder} may be deleted; while it exists, it is reused.")
    for what in failed:
        print(f"does not hold: {what}", file=sys.stderr)
    return 1 if failed else 0
