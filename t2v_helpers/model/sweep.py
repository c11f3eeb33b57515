"""Grids of videos: every combination of prompts, schedulers, steps, seeds and so on, made by any number of processes.

    specs = expand(GenerationSpec("a dog is dancing"), scheduler=["ddim", "dpm++"], steps=[10, 25], seed=range(64))
    table = run_sweep(loading.load("cartoon"), specs, "outputs/grid")
    for row in rows(table): ...

    t2v sweep --prompt "a dog is dancing" --scheduler ddim dpm++ --seeds 64 --out outputs/grid
    accelerate launch -m t2v_helpers.cli sweep ...                                  one process for each GPU
    accelerate launch --multi_gpu --num_processes 2 -m t2v_helpers.cli sweep ...    two processes, also on the CPU
                                                      (with --cpu, accelerate starts one process unless there is MPI)

The folder has a video, a filmstrip and a record for each spec, named by its index in the grid, and table.jsonl with a
line for each. Every file is written whole, the record last, so a video with a record is done and is not made again. A
sweep may be killed at any time, and continued with any number of processes and any batch size.
"""

import argparse
import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from datetime import timedelta
from functools import partial
from itertools import islice, product
from pathlib import Path
from types import SimpleNamespace

import torch
from accelerate import PartialState
from tqdm import tqdm

from t2v_helpers.core import arguments, checking, files, seeding, video
from t2v_helpers.core.model_names import CHOICES
from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.diffusion import schedulers
from t2v_helpers.machine.device import pick_device
from t2v_helpers.model import generate, loading, validation
from t2v_helpers.model.pipeline import course_pipeline, fingerprint

AXES = tuple(field.name for field in fields(GenerationSpec))
MAX_VIDEOS = 100_000  # a day or two of the cartoon model, and about the most files that one folder handles well
MANIFEST, TABLE = "sweep.json", "table.jsonl"
SUFFIXES = (".mp4", ".png", ".json")  # written by generate.write, the record last
GROWTH = 1.1  # the table is rewritten when it has grown by a tenth, which keeps the total writing linear
LONGEST_WAIT = timedelta(days=30)  # of a finished process for the others


def expand(spec: GenerationSpec, **axes: Iterable) -> list[GenerationSpec]:
    """The spec with every combination of the values in `axes`, named like its fields; the last axis varies fastest.

    ValueError: an unknown name, values that are not a list, none, more than MAX_VIDEOS, or a value of the wrong type.
    """
    checking.kind("spec", spec, GenerationSpec, 'GenerationSpec("a dog is dancing")')
    values = [_axis(name, given) for name, given in axes.items()]
    sizes = " x ".join(f"{len(given)} {name}" for name, given in zip(axes, values, strict=True))
    _check_count(math.prod(map(len, values)), sizes)
    return [replace(spec, **dict(zip(axes, chosen, strict=True))) for chosen in product(*values)]


def _axis(name: str, values: Iterable) -> Sequence:
    checking.one_of("axis", name, AXES)
    if isinstance(values, str) or not isinstance(values, Iterable):
        given = checking.shown(values)
        raise ValueError(f"{name}={given} is a single value, but an axis is a list: use {name}=[{given}].")
    if not isinstance(values, Sequence) or values[sys.maxsize :]:  # len() cannot count more than that
        values = list(islice(values, MAX_VIDEOS + 1))
    if not values:
        raise ValueError(f"{name} has no values, so the grid is empty: give at least one.")
    return values


def _check_count(count: int, sizes: str) -> None:
    if count > MAX_VIDEOS:
        raise ValueError(
            f"the grid has {count:,} videos ({sizes}), but a sweep may have at most {MAX_VIDEOS:,}: "
            "use fewer values, or a folder for each part."
        )


def processes(device: str | torch.device) -> PartialState:
    """accelerate's state: how many processes there are, and which one this is. Without `accelerate launch`, one."""
    return PartialState(cpu=torch.device(device).type == "cpu", timeout=LONGEST_WAIT)


def run_sweep(pipe, specs: Sequence[GenerationSpec], out: str | Path, batch_size: int = 4, quiet: bool = False) -> Path:
    """Make a video for each spec in the folder `out`, skip those that are done, and return the path of the table.

    Processes share the batches of up to `batch_size` specs that differ only in prompts and seed. A folder takes one
    sweep at a time. For any number of processes and any batch size, rows differ only in seconds, peak_memory_mib and
    device; another processor or number of threads may change a value by one grey level, and so the frames' hash.
    Errors, before anything is computed: ValueError (no specs, too many, duplicates, a folder of another sweep, a record
    that is damaged or of another video, and those of validation.check), MemoryError, OSError (too little disk, a folder
    in place of a file). Finished videos survive a later error.
    """
    pipe = course_pipeline(pipe)
    validation.check_kinds(pipe, specs)
    video.check_encoder()
    out, state = checking.path("out", out), processes(pipe.device)
    specs = _checked(pipe, specs)
    batches = _batches(specs, checking.whole("batch_size", batch_size))
    manifest = _manifest(pipe, specs)
    _check_folder(out, manifest)
    _check_done(out, specs, manifest)
    _check_disk(out, specs)
    _main_alone(state, partial(files.write_text, out / MANIFEST, json.dumps(manifest, indent=2) + "\n"))
    own = batches[state.process_index :: state.num_processes]  # interleaved, since neighbours cost about the same
    with _bar(specs, own, out, quiet or not state.is_main_process) as bar:
        _make(pipe, specs, out, own, bar, state.is_main_process)
    _main_alone(state, partial(_write_table, out, len(specs)))
    return out / TABLE


def _make(pipe, specs: list[GenerationSpec], out: Path, batches: list[list[int]], bar: tqdm, is_main: bool) -> None:
    """Make and save this process's videos; the main process rewrites the table from time to time."""

    def progress(step: generate.Step) -> None:
        bar.update(step.latents.shape[0] * step.latents.shape[2])  # [b c f h w]

    fps, made, written = loading.defaults(pipe).fps, 0, 0
    for missing in filter(None, ([i for i in batch if not _done(out, i)] for batch in batches)):
        videos = generate.generate_batch(pipe, [specs[i] for i in missing], len(missing), progress)
        for i, made_now in zip(missing, videos, strict=True):
            generate.write(made_now, _path(out, i), fps)
        made += len(missing)
        if is_main and made >= GROWTH * written:
            _write_table(out, len(specs))
            written = made


def _batches(specs: list[GenerationSpec], size: int) -> list[list[int]]:
    """The indices of the specs, in groups of at most `size` that one call can make."""
    alike: dict[GenerationSpec, list[int]] = {}
    for i, spec in enumerate(specs):
        alike.setdefault(replace(spec, prompt="", negative_prompt="", seed=0), []).append(i)
    return [places[k : k + size] for places in alike.values() for k in range(0, len(places), size)]


def _bar(specs: list[GenerationSpec], batches: list[list[int]], out: Path, off: bool) -> tqdm:
    """A progress bar on stderr for this process's share. Its unit is a frame in one call of the UNet, so that the
    remaining time is right for videos of different lengths and steps."""
    costs = {i: schedulers.unet_calls(specs[i].scheduler, specs[i].steps) * specs[i].frames for b in batches for i in b}
    done = sum(cost for i, cost in costs.items() if _done(out, i))
    name = f"{len(costs)} videos"
    return tqdm(total=sum(costs.values()), initial=done, desc=name, unit="frame", unit_scale=True, disable=off)


def _main_alone(state: PartialState, write: Callable[[], object]) -> None:
    """Wait for all processes, write in the main one, and let all continue."""
    state.wait_for_everyone()
    if state.is_main_process:
        write()
    state.wait_for_everyone()


def rows(table: str | Path) -> Iterator[dict]:
    """The rows of a table: the record of each finished video as a dict, with its file under "video".

    Errors: FileNotFoundError; ValueError: a line is not JSON.
    """
    with open(files.existing(table, "t2v sweep makes it"), "rb") as lines:
        for n, line in enumerate(lines, 1):
            try:
                yield files.parse_json(line.decode())
            except ValueError as error:
                again = "run the same sweep again, which rewrites the table"
                why = files.reason(error)
                raise ValueError(f"line {n} of {files.named(table)} is damaged ({why}): {again}.") from error


def _path(out: Path, i: int) -> Path:
    return out / f"{i:05}.mp4"


def _done(out: Path, i: int) -> bool:
    paths = [_path(out, i).with_suffix(suffix) for suffix in SUFFIXES]
    return all(path.is_file() and path.stat().st_size for path in paths)


def _write_table(out: Path, count: int) -> None:
    """Write a line for each finished video, in the order of the grid."""

    def write(temporary: Path) -> None:
        with open(temporary, "w", encoding="utf-8", newline="\n") as table:
            for path in (_path(out, i) for i in range(count) if _done(out, i)):
                table.write(json.dumps({"video": path.name} | asdict(GenerationRecord.load(path))) + "\n")

    files.write_whole(out / TABLE, write)


def _manifest(pipe, specs: list[GenerationSpec]) -> dict:
    """What identifies a sweep: the model and a hash of all specs in order; with the values of each field, to say how
    another sweep differs."""
    model = {"model": pipe.name, "dtype": str(pipe.unet.dtype)[6:], "weights": fingerprint(pipe)}
    return model | _asked(specs)


def _asked(specs: list[GenerationSpec]) -> dict:
    values = {name: list(dict.fromkeys(getattr(spec, name) for spec in specs)) for name in AXES}
    digest = hashlib.sha256(json.dumps([spec.to_dict() for spec in specs]).encode()).hexdigest()
    return values | {"order": digest}


def check_early(bare: SimpleNamespace, specs: Sequence[GenerationSpec], out: Path) -> None:
    """What `run_sweep` checks and needs no model for, before it is loaded. bare: of loading.outline."""
    specs = _resolved(bare, specs)
    validation.check_early(bare, specs)
    _check_folder(out, _asked(specs))
    _check_disk(out, specs)


def _resolved(pipe, specs: Sequence[GenerationSpec]) -> list[GenerationSpec]:
    """The specs with every default filled in. ValueError: none, too many, duplicates."""
    if not specs:
        raise ValueError("the grid is empty: give at least one GenerationSpec.")
    _check_count(len(specs), "specs")
    specs = [validation.resolve(pipe, spec) for spec in specs]
    for spec, times in Counter(specs).items():
        if times > 1:
            what = f"prompt={checking.shown(spec.prompt)}, seed={spec.seed}"
            raise ValueError(f"the grid has the same video {times} times ({what}): ask for it once.")
    return specs


def _checked(pipe, specs: Sequence[GenerationSpec]) -> list[GenerationSpec]:
    """The specs with every default filled in. Errors: those of `_resolved`; ValueError, MemoryError: not possible."""
    specs = _resolved(pipe, specs)
    for spec in dict.fromkeys(replace(spec, seed=0) for spec in specs):
        validation.check(pipe, spec)
    for spec in specs:
        seeding.check_seed(spec.seed)
    return specs


def _check_folder(out: Path, manifest: dict) -> None:
    files.tidy(out)
    path = out / MANIFEST
    files.check_target(path)
    if path.exists():
        try:
            there = files.read_json(path)
        except ValueError as error:
            raise ValueError(
                f"{files.named(path)} is not a sweep's manifest ({files.reason(error)}): use another folder."
            ) from error
        if how := checking.difference(there, manifest, manifest):
            where = files.named(out)
            raise ValueError(f"{where} has another sweep ({how}): ask for the same again, or use another folder.")
    elif out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise ValueError(f"{files.named(out)} has files, but no {MANIFEST}: use a new or an empty folder.")


def _check_done(out: Path, specs: list[GenerationSpec], manifest: dict) -> None:
    """ValueError: a finished video is damaged, or not the one asked for.

    IsADirectoryError, FileExistsError: a folder, or a device or a pipe, has the name of a file of the sweep.
    """
    for path in (path for path in out.glob("*.*") if path.suffix in (*SUFFIXES, Path(TABLE).suffix)):
        if path.is_dir():
            where = files.named(path)
            raise IsADirectoryError(f"{where} is a folder, but a sweep writes a file of that kind: move it away.")
        if path.exists() and not path.is_file():
            what = files.what_is(path)
            raise FileExistsError(f"{files.named(path)} is {what}, which a file would replace: move it away.")
    for i in filter(lambda i: _done(out, i), range(len(specs))):
        again = "delete it, and it is made again"
        path, *pictures = (_path(out, i).with_suffix(suffix) for suffix in reversed(SUFFIXES))
        try:
            record = GenerationRecord.load(path)
            found = {"model": record.model, "weights": record.weights, **record.spec.to_dict()}
            asked = {key: manifest[key] for key in ("model", "weights")} | specs[i].to_dict()
            how = checking.difference(found, asked, asked)
        except ValueError as error:
            how = files.reason(error)
        if how:
            raise ValueError(f"{files.named(path)} is not this video's record ({how}): {again}.")
        for kept in pictures:
            if not video.is_whole(kept):
                raise ValueError(f"{files.named(kept)} is damaged: {again}.")


def _check_disk(out: Path, specs: list[GenerationSpec]) -> None:
    """A video and its filmstrip are smaller than twice the raw frames; 16 KiB are for headers and the record."""
    missing = [spec for i, spec in enumerate(specs) if not _done(out, i)]
    needed = sum(2 * spec.frames * spec.height * spec.width * 3 + 2**14 for spec in missing)
    checking.room_on_disk(out, needed, f"a sweep of {len(missing)} videos")


def main(argv: list[str] | None = None) -> int:
    """Run the sweep that the options describe, and print the path of its table."""
    options = add_options(arguments.Parser(prog="t2v sweep", description="Make a grid of videos.")).parse_args(argv)
    axes = {name: getattr(options, name) for name in AXES if hasattr(options, name)}
    bare = loading.outline(options.model)
    spec = GenerationSpec(options.prompt[0], **loading.sampling(bare))
    specs = expand(spec, **axes, seed=range(options.seeds))
    check_early(bare, specs, options.out)
    own = processes(pick_device(options.device)).device  # of several GPUs, this process's own
    device = own if options.device == "auto" and own.type == "cuda" else options.device
    pipe = loading.load(options.model, device, options.dtype, options.offline)
    table = run_sweep(pipe, specs, options.out, options.batch)
    if processes(pipe.device).is_main_process:
        found = {"table": str(table), "videos": len(specs)}
        print(json.dumps(found, indent=2) if options.json else f"{table}: {len(specs)} videos")
    return 0


def add_options(p: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of `t2v sweep`."""
    p.add_argument("--prompt", nargs="+", required=True, metavar="PROMPT", help="what to show, one or more")
    arguments.add_spec(p, schedulers.NAMES, nargs="+", metavar="VALUE")
    seeds = "how many: the seeds are 0, 1, 2 ... (%(default)s)"
    p.add_argument("--seeds", type=arguments.whole(MAX_VIDEOS), default=1, help=seeds)
    out = Path("outputs/sweep")
    p.add_argument("-o", "--out", type=arguments.path, default=out, help="the folder (%(default)s)")
    p.add_argument("--batch", type=arguments.whole(), default=4, help="videos made at once (%(default)s)")
    p.add_argument("--model", default="cartoon", help=f"{CHOICES} (%(default)s)")
    arguments.add(p, "device", "dtype", "offline", "json")
    return p
