"""Grids of videos: every combination of prompts, schedulers, steps, seeds and so on, made by any number of processes.

    specs = expand(GenerationSpec("a dog is dancing"), scheduler=["ddim", "dpm++"], steps=[10, 25], seed=range(64))
    table = run_sweep(load("cartoon"), specs, "outputs/grid")
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
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from datetime import timedelta
from itertools import islice, product
from pathlib import Path

import torch
from accelerate import PartialState
from tqdm import tqdm

from t2v_helpers.core import arguments, checking, files, seeding, video
from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.diffusion import schedulers
from t2v_helpers.machine.device import pick_device
from t2v_helpers.model import generate, loading, validation
from t2v_helpers.model.pipeline import course_pipeline

AXES = tuple(field.name for field in fields(GenerationSpec))
MAX_VIDEOS = 100_000  # a day or two of the cartoon model, and about the most files that one folder handles well
MANIFEST, TABLE = "sweep.json", "table.jsonl"
SUFFIXES = (".mp4", ".png", ".json")  # written by generate.save, the record last
VARYING = ("seconds", "peak_memory_mib", "device")  # fields of a record that differ between runs
GROWTH = 1.1  # the table is rewritten when it has grown by a tenth, which keeps the total writing linear
LONGEST_WAIT = timedelta(days=30)  # of a finished process for the others


# --- the grid


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
        raise ValueError(f"{name}={values!r} is a single value, but an axis is a list: use {name}=[{values!r}].")
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


# --- running it


def load(model: str | Path, device="auto", dtype="auto", offline: bool | None = None):
    """The pipeline of loading.load, on this process's own GPU where there are several. Errors: see there."""
    own = processes(pick_device(device)).device
    return loading.load(model, own if device == "auto" and own.type == "cuda" else device, dtype, offline)


def processes(device: str | torch.device) -> PartialState:
    """accelerate's state: how many processes there are, and which one this is. Without `accelerate launch`, one."""
    return PartialState(cpu=torch.device(device).type == "cpu", timeout=LONGEST_WAIT)


def run_sweep(pipe, specs: Sequence[GenerationSpec], out: str | Path, batch_size: int = 4, quiet: bool = False) -> Path:
    """Make a video for each spec in the folder `out`, skip those that are done, and return the path of the table.

    Processes share the batches of up to `batch_size` specs that differ only in prompts and seed. A folder takes one
    sweep at a time. Rows are the same for any number of processes and any batch size: see `comparable`.
    Errors, before anything is computed: ValueError (no specs, too many, duplicates, a folder of another sweep, a record
    that is damaged or of another video, and those of validation.check), MemoryError, OSError (too little disk, a folder
    in place of a file). Finished videos survive a later error.
    """
    pipe = course_pipeline(pipe)
    validation.check_kinds(pipe, specs)
    out, state = Path(checking.kind("out", out, (str, Path), "the path of a folder")), processes(pipe.device)
    specs = _checked(pipe, specs)
    batches = _batches(specs, checking.whole("batch_size", batch_size))
    manifest = _manifest(pipe, specs)
    _check_folder(out, manifest)
    _check_done(out, specs, manifest["model"])
    _check_disk(out, [spec for i, spec in enumerate(specs) if not _done(out, i)])
    _main_alone(state, lambda: _claim(out, manifest))
    own = batches[state.process_index :: state.num_processes]  # interleaved, since neighbours cost about the same
    with _bar(specs, own, out, quiet or not state.is_main_process) as bar:
        _make(pipe, specs, out, own, bar, state.is_main_process)
    _main_alone(state, lambda: _finish(out, len(specs)))
    return out / TABLE


def _make(pipe, specs: list[GenerationSpec], out: Path, batches: list[list[int]], bar: tqdm, is_main: bool) -> None:
    """Make and save this process's videos; the main process rewrites the table from time to time."""

    def progress(step: generate.Step) -> None:
        bar.update(step.latents.shape[0] * step.latents.shape[2])  # [b c f h w]

    fps, made, written = loading.defaults(pipe).fps, 0, 0
    for batch in batches:
        missing = [i for i in batch if not _done(out, i)]
        if not missing:
            continue
        videos = generate.generate_batch(pipe, [specs[i] for i in missing], len(missing), progress)
        for i, made_now in zip(missing, videos, strict=True):
            generate.save(made_now, _path(out, i), fps)
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


def _main_alone(state: PartialState, work) -> None:
    """Wait for all processes, call `work` in the main one, and let all continue."""
    state.wait_for_everyone()
    if state.is_main_process:
        work()
    state.wait_for_everyone()


# --- the folder


def rows(table: str | Path) -> Iterator[dict]:
    """The rows of a table: the record of each finished video as a dict, with its file under "video".

    Errors: FileNotFoundError; ValueError: a line is not JSON.
    """
    with open(table, encoding="utf-8") as lines:
        for n, line in enumerate(lines, 1):
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError) as error:
                again = "run the same sweep again, which rewrites the table"
                raise ValueError(f"line {n} of {table} is damaged ({error}): {again}.") from error


def comparable(row: dict) -> dict:
    """The part of a row that does not depend on how its sweep ran: all but VARYING, with the hash of the frames.

    Other kernels (another GPU, another number of threads) may add in another order and change a value by one grey
    level, which changes the hash: then compare the frames.
    """
    return {name: value for name, value in row.items() if name not in VARYING}


def fingerprint(pipe) -> str:
    """16 digits that identify the weights: a hash of every tensor's name, shape and first 64 values."""
    digest = hashlib.sha256()
    for part in loading.PARTS:
        for name, tensor in getattr(pipe, part).state_dict().items():
            values = tensor.flatten()[:64].float().cpu().numpy()
            digest.update(f"{part} {name} {tuple(tensor.shape)}".encode() + values.tobytes())
    return digest.hexdigest()[:16]


def _path(out: Path, i: int) -> Path:
    return out / f"{i:05}.mp4"


def _done(out: Path, i: int) -> bool:
    paths = [_path(out, i).with_suffix(suffix) for suffix in SUFFIXES]
    return all(path.is_file() and path.stat().st_size for path in paths)


def _write_table(out: Path, count: int) -> None:
    """Write a line for each finished video, in the order of the grid."""

    def write(temporary):
        with open(temporary, "w", encoding="utf-8", newline="\n") as table:
            for i in filter(lambda i: _done(out, i), range(count)):
                record = GenerationRecord.load(_path(out, i))
                table.write(json.dumps({"video": _path(out, i).name} | asdict(record)) + "\n")

    files.write_whole(out / TABLE, write)


def _claim(out: Path, manifest: dict) -> None:
    """Write the manifest, and remove the temporary files of a sweep that was killed."""
    files.write_text(out / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    _remove_temporary(out)


def _finish(out: Path, count: int) -> None:
    _write_table(out, count)
    _remove_temporary(out)  # again: a killed process's ffmpeg outlives it for a moment


def _remove_temporary(out: Path) -> None:
    for path in out.glob(".*"):
        if re.fullmatch(r"\.[0-9a-f]{32}\.(mp4|png|json|jsonl)", path.name):  # as files.write_whole names them
            path.unlink(missing_ok=True)


def _manifest(pipe, specs: list[GenerationSpec]) -> dict:
    """What identifies a sweep: the model and a hash of all specs in order; with the values of each field, to say how
    another sweep differs."""
    model = {"model": pipe.name, "dtype": str(pipe.unet.dtype)[6:], "weights": fingerprint(pipe)}
    values = {name: list(dict.fromkeys(getattr(spec, name) for spec in specs)) for name in AXES}
    digest = hashlib.sha256(json.dumps([spec.to_dict() for spec in specs]).encode()).hexdigest()
    return model | values | {"order": digest}


# --- checks


def _checked(pipe, specs: Sequence[GenerationSpec]) -> list[GenerationSpec]:
    """The specs with every default filled in. ValueError, MemoryError: none, too many, duplicates, not possible."""
    if not specs:
        raise ValueError("the grid is empty: give at least one GenerationSpec.")
    _check_count(len(specs), "specs")
    specs = [validation.resolve(pipe, spec) for spec in specs]
    for spec in dict.fromkeys(replace(spec, seed=0) for spec in specs):
        validation.check(pipe, spec)
    for spec, times in Counter(specs).items():
        seeding.check_seed(spec.seed)
        if times > 1:
            raise ValueError(f"the grid has the same video {times} times ({spec}): ask for it once.")
    return specs


def _check_folder(out: Path, manifest: dict) -> None:
    path = out / MANIFEST
    files.check_target(path)
    if path.exists():
        there = _read(path)
        for name, value in manifest.items():
            if there.get(name) != value:
                how = f"its {name} is {_brief(there.get(name))}, and here it is {_brief(value)}"
                raise ValueError(f"{out} has another sweep ({how}): ask for the same again, or use another folder.")
    elif out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise ValueError(f"{out} has files, but no {MANIFEST}: use a new or an empty folder.")


def _check_done(out: Path, specs: list[GenerationSpec], model: str) -> None:
    """ValueError: a finished video is damaged, or not the one asked for. IsADirectoryError: a folder is in the way."""
    for path in out.glob("*.*"):
        if path.is_dir() and path.suffix in (*SUFFIXES, Path(TABLE).suffix):
            raise IsADirectoryError(f"{path} is a folder, but a sweep writes a file of that kind: move it away.")
    for i in filter(lambda i: _done(out, i), range(len(specs))):
        again = "delete it, and it is made again"
        path, *pictures = (_path(out, i).with_suffix(suffix) for suffix in reversed(SUFFIXES))
        try:
            record = GenerationRecord.from_json(path.read_text(encoding="utf-8"))
            found = (record.model, record.spec)
        except ValueError as error:
            found = error
        if found != (model, specs[i]):
            raise ValueError(f"{path} is not this video's record ({found}): {again}.")
        for kept in pictures:
            if not video.is_whole(kept):
                raise ValueError(f"{kept} is damaged: {again}.")


def _read(manifest: Path) -> dict:
    try:
        return dict(json.loads(manifest.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{manifest} is not the manifest of a sweep ({error}): use another folder.") from error


def _brief(value) -> str:
    """A value, or the ends of a list."""
    if not isinstance(value, list):
        return repr(value)
    if len(value) <= 4:
        return ", ".join(map(repr, value))
    return f"{value[0]!r}, {value[1]!r} ... {value[-1]!r} ({len(value)} values)"


def _check_disk(out: Path, missing: list[GenerationSpec]) -> None:
    """A video and its filmstrip are smaller than twice the raw frames; 16 KiB are for headers and the record."""
    needed = sum(2 * spec.frames * spec.height * spec.width * 3 + 2**14 for spec in missing)
    checking.room_on_disk(out, needed, f"a sweep of {len(missing)} videos")


# --- t2v sweep


def main(argv: list[str] | None = None) -> int:
    """Run the sweep that the options describe, and print the path of its table."""
    options = add_options(arguments.Parser(prog="t2v sweep", description="Make a grid of videos.")).parse_args(argv)
    axes = {name: getattr(options, name) for name in AXES if hasattr(options, name)}
    specs = expand(GenerationSpec(options.prompt[0]), **axes, seed=range(options.seeds))
    pipe = load(options.model, options.device, options.dtype, options.offline)
    if loading.is_cartoon(pipe):
        validation.refuse_unknown_words(" ".join([*options.prompt, *axes.get("negative_prompt", ())]))
    table = run_sweep(pipe, specs, options.out, options.batch)
    if processes(pipe.device).is_main_process:
        found = {"table": str(table), "videos": len(specs)}
        print(json.dumps(found, indent=2) if options.json else f"{table}: {len(specs)} videos")
    return 0


def add_options(p: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of `t2v sweep`."""
    asked = {"nargs": "+", "default": argparse.SUPPRESS, "metavar": "VALUE"}  # GenerationSpec has the defaults
    p.add_argument("--prompt", nargs="+", required=True, metavar="PROMPT", help="what to show, one or more")
    p.add_argument("--negative-prompt", **asked, help="what not to show, one or more (nothing)")
    p.add_argument("--scheduler", **asked, help=f"of {', '.join(schedulers.NAMES)} ({GenerationSpec.scheduler})")
    p.add_argument("--steps", type=int, **asked, help=f"from 1 to 1000 ({GenerationSpec.steps})")
    p.add_argument("--guidance", type=float, **asked, help="how closely to follow the words: 1 to 100 (the model's)")
    p.add_argument("--frames", type=int, **asked, help=f"from 1 to {loading.MAX_FRAMES} ({GenerationSpec.frames})")
    p.add_argument("--height", type=int, **asked, help="pixels (the model's own)")
    p.add_argument("--width", type=int, **asked, help="pixels (the model's own)")
    seeds = "how many: the seeds are 0, 1, 2 ... (%(default)s)"
    p.add_argument("--seeds", type=arguments.whole(MAX_VIDEOS), default=1, help=seeds)
    out = Path("outputs/sweep")
    p.add_argument("-o", "--out", type=arguments.path, default=out, help="the folder (%(default)s)")
    p.add_argument("--batch", type=arguments.whole(), default=4, help="videos made at once (%(default)s)")
    p.add_argument("--model", default="cartoon", help="cartoon, modelscope or a folder (%(default)s)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda (also for ROCm) or cuda:1")
    p.add_argument("--dtype", default="auto", help="auto, float32, float16 or bfloat16")
    p.add_argument("--offline", action="store_true", default=None, help="download nothing")
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    return p
