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
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from t2v_helpers.core import arguments, checking, files
from t2v_helpers.course.dry_run import folder, report, stages
from t2v_helpers.machine import probe
from t2v_helpers.machine.device import GIB, free_memory_bytes
from t2v_helpers.model import hub, loading

FOLDER, OUT = Path("dry_run"), Path("outputs/dry_run.json")
BASELINE = 6 * 2**27  # bytes, about what Python and the libraries take; used before anything is measured
SHARE = 0.75  # of the free memory that four pipelines may take at once
DTYPES = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Settings:
    """What is run: where the weights are, dtype, frames, pixels of height and width, a tokenizer's folder or None."""

    cache: folder.Cache = field(default_factory=lambda: folder.Cache(FOLDER))
    dtype: str = "auto"
    frames: int = 4
    pixels: int = 256
    tokenizer: Path | None = None

    def resolved(self) -> torch.dtype:
        """The dtype to run in: auto is bfloat16 where the CPU has instructions for it."""
        chosen = "bfloat16" if has_bfloat16() else "float32"
        return getattr(torch, chosen if self.dtype == "auto" else self.dtype)


def has_bfloat16() -> bool:
    """Whether torch reports that this CPU computes in bfloat16."""
    known = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older versions of torch
    return any(there is True for name, there in known.items() if "bf16" in name)


def run(settings: Settings) -> dict:
    """Write the weights, measure, and check: {"about", "parts", "memory", "checks"} for JSON, and "text".

    Errors: those of `folder.prepare` and `stages.ask`; MemoryError before a stage that would not fit.
    """
    dtype = settings.resolved()
    variants = ("fp16",) if dtype.itemsize == 2 else (None, "fp16")
    with tqdm(desc="random weights", unit="B", unit_scale=True, delay=0.5) as bar:

        def advance(n: int, total: int) -> None:
            bar.total = total
            bar.update(n)

        written = folder.prepare(settings.cache, variants, settings.tokenizer, advance)
    skeleton = loading.skeleton(settings.cache.snapshot)
    parts = _parts(settings, skeleton, dtype, written[:3])
    half = _parts(settings, skeleton, torch.bfloat16, written[-3:])
    converted = dtype == torch.bfloat16  # the files hold float32 and float16: bfloat16 is made from the latter
    step = _ask(settings, "step", dtype, report.loading(parts, converted) + parts.activations["unet"])
    one, many = _four(settings, half)
    made = report.rows(parts, step, converted) + report.copies(half, one, many)
    parameters = sum(p.numel() for part in skeleton.values() for p in part.parameters())
    size = (settings.frames, settings.pixels, settings.pixels)
    held = report.checks(parameters, half, step, one, many, size) + report.agreement(made)
    about = _about(settings, dtype, step, many)
    return report.to_dict(about, parts, made, held) | {"text": report.text(about, parts, made, held)}


def _parts(settings: Settings, skeleton: dict, dtype: torch.dtype, written: list[folder.Weights]) -> report.Parts:
    sizes = {file.path.parent.name: file.size for file in written}
    return report.parts_of(skeleton, dtype, settings.frames, settings.pixels, sizes)


def _four(settings: Settings, half: report.Parts) -> tuple[dict, dict]:
    """Four schedulers on one set of weights, and on four: at once where they fit, else one after another.

    Always in bfloat16, which is converted: on a CPU, weights stored in the dtype asked for are mapped from the file,
    and four pipelines would share its pages. On a GPU each has its own copy.
    """
    n = len(stages.SCHEDULERS)
    one = _ask(settings, "shared", torch.bfloat16, report.loading(half, True))
    if one["baseline"] + report.loading(half, True, (n - 1) * half.total) < SHARE * free_memory_bytes():
        return one, _ask(settings, "repeated", torch.bfloat16, 0) | {"sets": n, "how": "at once"}
    needed = report.loading(half, True)
    alone = [_ask(settings, "repeated", torch.bfloat16, needed, (name,)) for name in stages.SCHEDULERS]
    return one, added(alone) | {"sets": n, "how": "one after another, and added up: at once they do not fit"}


def added(alone: list[dict]) -> dict:
    """What pipelines would take together that were loaded one after another, each in its own process."""
    first, sets = alone[0], [found["held"] - found["baseline"] for found in alone]
    load = {
        "seconds": sum(found["phases"]["load"]["seconds"] for found in alone),
        "peak": max(found["phases"]["load"]["peak"] for found in alone),
    }
    arrived = {name: values for found in alone for name, values in found["arrived"].items()}
    whole = {"held": first["baseline"] + sum(sets), "bytes": sum(found["bytes"] for found in alone)}
    return first | whole | {"phases": {"load": load}, "arrived": arrived}


def _ask(settings: Settings, stage: str, dtype: torch.dtype, needed: int, names: tuple[str, ...] = ()) -> dict:
    """What a stage found for these schedulers (all). MemoryError: less than `needed` plus the baseline is free."""
    free = free_memory_bytes()
    if BASELINE + needed > free:
        raise MemoryError(
            f"the stage {stage!r} needs {(BASELINE + needed) / GIB:.1f} GiB of memory, but "
            f"{free / GIB:.1f} are free: close other programs, or use --dtype bfloat16."
        )
    asked = settings.cache.model, _name(dtype), settings.frames, settings.pixels, names or stages.SCHEDULERS
    return stages.ask(stages.Request(stage, *asked), settings.cache.hub_cache)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _about(settings: Settings, dtype: torch.dtype, step: dict, many: dict) -> dict:
    return {
        "weights": f"random, in the shape of {hub.MODELSCOPE}, in {settings.cache.root}",
        "dtype": _name(dtype),
        "video": f"{settings.frames} frames of {settings.pixels}x{settings.pixels}, the first of {stages.STEPS} steps",
        "tokenizer": str(settings.tokenizer or "built for this"),
        "machine": f"{probe.cpu_name()}, {probe.in_threads(step['threads'])}, torch {torch.__version__}",
        "baseline": f"{step['baseline'] / GIB:.2f} GiB: Python and the libraries, part of each number",
        "four sets": f"in bfloat16, {many['how']}",
    }


def _check_out(path: Path) -> None:
    """Know that the report can be written and replaces at most an older one. ValueError; files.check_target."""
    checking.suffix("--out", path, ".json")
    files.check_target(path)
    if path.exists() and not report.is_one(path):
        raise ValueError(f"--out {str(path)!r} would replace a file that is not a dry run's report: give another name.")


def main(argv: list[str] | None = None) -> int:
    """`t2v dry-run`: returns 1 where a stage fails or a check does not hold. Errors: see `run`; ValueError: --out."""
    p = arguments.Parser(prog="t2v dry-run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dtype", choices=DTYPES, default="auto", help="(%(default)s)")
    p.add_argument("--frames", type=arguments.whole(16), default=4, help="how many to make and decode (%(default)s)")
    p.add_argument("--tokenizer", type=arguments.path, help="a folder with a CLIP tokenizer (one is built)")
    p.add_argument("--folder", type=arguments.path, default=FOLDER, help="where the weights are kept (%(default)s)")
    p.add_argument("--out", type=arguments.path, default=OUT, help="the report, .json (%(default)s)")
    options = p.parse_args(argv)
    _check_out(options.out)
    try:
        made = run(Settings(folder.Cache(options.folder), options.dtype, options.frames, tokenizer=options.tokenizer))
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
