"""`t2v`: the course at the command line. Each command is a few lines around a function that the notebooks also call.

Bad input ends in one sentence on stderr and exit status 2. Libraries are imported by the command that needs them, so
`t2v --help` is immediate.
"""

import argparse
import hashlib
import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

from t2v_helpers.core import arguments, files
from t2v_helpers.core.model_names import CHOICES, WAN
from t2v_helpers.diffusion.scheduler_list import SCHEDULERS
from t2v_helpers.machine import terminal

MODULES = {  # commands with a `main` and options of their own: where, and their line in the help
    "sweep": ("model.sweep", "make a grid of videos: prompts, schedulers, steps, seeds; resume where it stopped"),
    "run": ("course.run", "run every notebook; leave pages, videos and an index in outputs/"),
    "preflight": ("course.preflight", "is this seat ready for a lesson? and the table of all seats"),
    "costs": ("course.costs", "copy what the last run cost into the README"),
    "tolerances": ("course.tolerances", "compare the last run with its limits"),
    "train": ("training.stages", "train the cartoon model from scratch"),
    "bench": ("studies.release", "measure the model: every bar with its number and interval"),
    "study": ("studies.study", "list the tables behind the notebooks with their minutes, or make one"),
    "dry-run": ("course.dry_run.command", "the real model with random weights: load it, run a step, measure memory"),
    "figures": ("show.figures", "make the pictures in images/ again"),
}
INPUT_ERRORS = (ValueError, OSError, MemoryError, ImportError, FloatingPointError)
SUFFIXES = (".mp4", ".png", ".json")  # the video, its filmstrip and its record
SHEET_SCALE = 4
MOST_CLIPS = 50  # in one row or column they fit into an mp4 (16384 pixels), and into 1 GiB of memory


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0; 1 where something failed; 2 for bad input."""
    argv = list(sys.argv[1:] if argv is None else argv)
    terminal.wrap()
    try:
        with terminal.terminable(), terminal.warnings_in_a_line():
            status = _run(argv)
        if sys.stdout:
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader has closed the pipe: `t2v trace cartoon | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python still flushes stdout when it exits
        return 128 + 13  # a shell's status for a program that SIGPIPE ended
    except INPUT_ERRORS as error:
        print(f"t2v: {sentence(error)}{_hint(error, argv)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("t2v: stopped.", file=sys.stderr)
        return 130


def _run(argv: list[str]) -> int:
    if argv and argv[0] in MODULES:
        return importlib.import_module(f"t2v_helpers.{MODULES[argv[0]][0]}").main(argv[1:])
    options = parser().parse_args(argv)
    return options.command(options)


def sentence(error: Exception) -> str:
    """An error's message in one line; an error of the operating system names its file."""
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename else ""
        return arguments.brief(f"{named}{error.strerror.rstrip('.')}.")
    return arguments.brief(str(error)) or f"{type(error).__name__}."


def _hint(error: Exception, argv: list[str]) -> str:
    """A hint when an import failed, or when the memory limit came from $T2V_MEMORY."""
    importing = any(frame.f_code.co_name == "<module>" for frame, _ in traceback.walk_tb(error.__traceback__))
    if importing or isinstance(error, ImportError):  # torch raises OSError where a shared library is missing
        return " (`t2v info` says more)"
    asked = any(word.startswith("--memory") for word in argv)
    if str(error).startswith("memory=") and os.environ.get("T2V_MEMORY") and not asked:
        return " (The variable T2V_MEMORY asks for this memory.)"
    return ""


def parser() -> arguments.Parser:
    """The parser of all commands; those of MODULES are only named here and read their options themselves."""
    p = arguments.Parser(prog="t2v", description="Videos from words.")
    commands = p.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command, (options, words) in COMMANDS.items():
        own = commands.add_parser(command.__name__, help=words)
        options(own)
        arguments.add(own, "json")
        own.set_defaults(command=command)
    for name, (_, words) in MODULES.items():
        commands.add_parser(name, help=words)
    return p


def _generate_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("prompt", help='what to show: "a robot is dancing in times square in van gogh style"')
    beside = "the video's file, .mp4; its record and a filmstrip go next to it (outputs/, named after the prompt)"
    p.add_argument("-o", "--out", type=arguments.path, help=beside)
    p.add_argument("--model", default="cartoon", help=f"{CHOICES}, or {WAN} (%(default)s)")
    arguments.add(p, "device", "dtype", "offline")
    p.add_argument("--memory", help="such as 8GiB: choose options so that the video fits, and print them")
    p.add_argument("--fast", action="store_true", help="with the student of few steps: see 13_few_steps")
    p.add_argument("--lora", type=arguments.path, help="a folder with a LoRA that has learned words: see notebook 07")
    p.add_argument("--seed", type=int, default=0, help="another seed, another video: from 0 to 4294967295 (0)")
    arguments.add_spec(p, SCHEDULERS)


def _info_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("--quick", action="store_true", help="leave out the trials, which compute a little")


def _world_options(p: argparse.ArgumentParser) -> None:
    number, default = arguments.whole(MOST_CLIPS), Path("outputs/world.png")
    p.add_argument("-o", "--out", type=arguments.path, default=default, help="a .png, .gif or .mp4 (%(default)s)")
    p.add_argument("--count", type=number, default=24, help=f"how many clips, up to {MOST_CLIPS} (%(default)s)")
    p.add_argument("--columns", type=number, default=6, help="clips in a row (%(default)s)")
    p.add_argument("--seed", type=int, default=0, help="another seed, other clips (%(default)s)")
    split = "train: what the model was trained on; held_out: what it was not; all (%(default)s)"
    p.add_argument("--split", default="all", help=split)


def _trace_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", help=CHOICES)
    p.add_argument("--frames", type=int, default=16, help="(%(default)s)")
    p.add_argument("--height", type=int, help="pixels (the model's own)")
    p.add_argument("--width", type=int, help="pixels (the model's own)")


def _download_options(p: argparse.ArgumentParser) -> None:
    kinds = "of modelscope: float16 for a GPU; float32 for a CPU, and for notebook 11 (%(default)s)"
    one = p.add_mutually_exclusive_group()
    one.add_argument("--model", choices=("modelscope", WAN), default="modelscope", help="(%(default)s)")
    one.add_argument("--dtype", choices=("float16", "float32"), default="float16", help=kinds)


def generate(options: argparse.Namespace) -> int:
    """Make a video. Errors: of loading.load, lora.load, generate.generate and later.wan; ValueError: unknown words."""
    from tqdm import tqdm

    from t2v_helpers.core.records import GenerationSpec
    from t2v_helpers.model import generate

    given = {f.name: getattr(options, f.name) for f in fields(GenerationSpec) if hasattr(options, f.name)}
    path, make, calls, fps = (_by_wan if options.model == WAN else _by_unet)(options, given)
    with tqdm(total=calls, unit="step", desc="denoising") as bar:
        made = make(lambda step: bar.update())
    record = made.record
    path = path if options.out else generate.free_name(path, record)
    generate.save(made, path, fps)
    words = f"{path}: {record.seconds:.1f} s, {record.peak_memory_mib:.0f} MiB; what was asked is in {path.stem}.json"
    _print({"path": str(path), "record": asdict(record)} if options.json else words)
    return 0


def _by_unet(options: argparse.Namespace, given: dict) -> tuple[Path, Callable, int, int]:
    """Where the video goes, what makes it, given a function for its progress, in how many calls; frames a second."""
    from t2v_helpers.core.records import GenerationSpec
    from t2v_helpers.diffusion import schedulers
    from t2v_helpers.model import generate, loading, validation

    bare = loading.outline(options.model, options.fast)
    spec = GenerationSpec(**loading.sampling(bare) | given)
    path = _out(options, spec)
    validation.check_early(bare, [spec], _taught(options, bare.unet))
    pipe = _load(options, spec)
    validation.check(pipe, spec)
    calls = schedulers.unet_calls(spec.scheduler, spec.steps)
    return path, partial(generate.generate, pipe, spec), calls, loading.defaults(pipe).fps


def _by_wan(options: argparse.Namespace, given: dict) -> tuple[Path, Callable, int, int]:
    """The same with Wan 2.1. ValueError: an option that works on a UNet."""
    from t2v_helpers.core.records import GenerationSpec
    from t2v_helpers.model.later import wan

    wan.refuse(memory=options.memory, fast=options.fast, lora=options.lora)
    spec, path = wan.spec(**given), _out(options, GenerationSpec(**given))
    return path, wan.maker(spec, options.device, options.dtype, options.offline), spec.steps, wan.FPS


def _out(options: argparse.Namespace, spec) -> Path:
    """The video's file: as named, or after what is asked. Errors: see `_check_out`."""
    added = ["fast"] * options.fast + ([options.lora.resolve().name] if options.lora else [])
    path = options.out or Path("outputs", "-".join([_name(options.model, spec), *added]) + ".mp4")
    _check_out(path)
    return path


def _taught(options: argparse.Namespace, unet) -> tuple[str, ...]:
    """The words of the LoRA that the options name, if any."""
    if options.lora is None:
        return ()
    from t2v_helpers.model import lora

    return lora.words_for(unet, options.model, options.lora)


def _load(options: argparse.Namespace, spec):
    """The pipeline that the options name, by a memory plan and with a LoRA if asked; a video's record names both."""
    from t2v_helpers.model import loading

    where, plan = (options.device, options.dtype), None
    if options.memory is not None:
        size = spec.frames, spec.height, spec.width
        plan = loading.plan(options.model, options.memory, *where, *size, fast=options.fast)
    pipe = loading.load(options.model, *where, options.offline, memory=plan, fast=options.fast)
    if options.lora is not None:
        from t2v_helpers.model import lora

        lora.load(pipe, options.lora)
    return pipe


def info(options: argparse.Namespace) -> int:
    """Report what this machine has, what is missing and how to fix it, what to set on an AMD GPU, and what runs."""
    from t2v_helpers.machine import doctor, probe, rocm

    found, settings = doctor.look(), rocm.settings(probe.look_at_torch(), os.environ)
    found = replace(found, problems=[*found.problems, *_further_problems(found)])
    say = (lambda text: None) if options.json else partial(print, flush=True)
    say(f"{found}\n\n{rocm.text(settings)}".rstrip())
    tried, advice = ([], []) if options.quick else _trials(say)
    if options.json:
        lists = {"settings": list(map(asdict, settings)), "trials": list(map(asdict, tried)), "advice": advice}
        _print(asdict(found) | lists)
    return 0


def _further_problems(found) -> Iterator:
    """What is wrong with the variable T2V_MEMORY and with ffmpeg, each where the packages that tell are there."""
    from t2v_helpers.machine.doctor import Problem

    if found.t2v_memory and found.build != "none":
        from t2v_helpers.model import memory_plan

        try:
            memory_plan.parse_bytes(found.t2v_memory)
        except ValueError as error:
            yield Problem("the variable T2V_MEMORY is not a size", f"unset it or correct it: {error}")
    try:
        from t2v_helpers.core import video
    except (ImportError, OSError):
        return
    try:
        video.check_encoder()
    except OSError as error:
        what, _, fix = str(error).rpartition(": ")
        yield Problem(what, fix.rstrip("."))


def _trials(say: Callable) -> tuple[list, list[str]]:
    """The trials and the advice on them; `say` gets each at once, for a trial may take a while."""
    try:
        from t2v_helpers.model import dtype_trials
    except (ImportError, OSError) as error:
        print(f"\nNothing could be tried ({files.reason(error)}): fix the above first.", file=sys.stderr)
        return [], []
    tried = []
    say("\nTried:")
    for trial in dtype_trials.run():
        say(trial)
        tried.append(trial)
    advice = dtype_trials.advice(tried)
    say("\n".join(advice) or "All of it works.")
    return tried, advice


def world(options: argparse.Namespace) -> int:
    """Draw a sheet of the cartoon world. ValueError: a number out of range, an unknown split or file type."""
    from t2v_helpers import cartoon
    from t2v_helpers.core import checking

    checking.suffix("--out", options.out, ".png", ".gif", ".mp4")
    files.check_target(options.out)
    items = [cartoon.item(options.seed, i, split=options.split) for i in range(options.count)]
    _write_sheet(items, options.out, options.columns)
    captions, path = [item.caption for item in items], str(options.out)
    _print({"path": path, "captions": captions} if options.json else "\n".join([*captions, "", path]))
    return 0


def trace(options: argparse.Namespace) -> int:
    """Trace a model without its weights. Errors: of loading.skeleton; ValueError: frames or size out of range."""
    from t2v_helpers.inside import tracing
    from t2v_helpers.machine import gpus
    from t2v_helpers.model import loading

    parts = loading.skeleton(options.model)
    traces = tracing.trace_parts(parts, options.frames, options.height, options.width)
    step = traces["unet"].total.flops
    if options.json:
        _print({"parts": {name: t.to_dict() for name, t in traces.items()}, "ideal_step_seconds": gpus.ideal(step)})
    else:
        _print(f"{tracing.report(traces)}\n\na guided step at the published peaks of GPUs\n{gpus.table(step)}")
    return 0


def download(options: argparse.Namespace) -> int:
    """Fetch a model into the cache, check every byte, and print its folder. Errors: those of hub.fetched."""
    import torch

    from t2v_helpers.model import loading
    from t2v_helpers.model.later import wan

    path = wan.fetch(check=True) if options.model == WAN else loading.download(getattr(torch, options.dtype))
    _print({"path": str(path)} if options.json else str(path))
    return 0


COMMANDS = {  # the commands of this file: their options, and their line in the help
    generate: (_generate_options, "make a video from words"),
    info: (_info_options, "what this machine has, what is missing, and how to fix it"),
    world: (_world_options, "a sheet of clips of the cartoon world, drawn by its program"),
    trace: (_trace_options, "what is inside a model: parameters and FLOPs, without its weights"),
    download: (_download_options, "fetch the real model, for later or for other seats"),
}


def _name(model: str, spec) -> str:
    """A file name from the prompt, the seed and what is not the default: another video has another name.

    Where it would be too long or leaves characters out, it ends in a hash of the whole.
    """
    changed = {f.name: getattr(spec, f.name) for f in fields(spec)[1:] if getattr(spec, f.name) != f.default}
    named = {"seed": spec.seed} | changed | ({"model": Path(model).name} if model != "cartoon" else {})
    whole = " ".join([spec.prompt, *(f"{name} {value}" for name, value in named.items())]).lower()
    name = "-".join(re.findall(r"\w+", whole))
    if name.replace("-", " ") == whole and len(name.encode()) < 120:
        return name
    return f"{name[:50]}-{hashlib.sha256(whole.encode(errors='replace')).hexdigest()[:8]}"


def _check_out(path: Path) -> None:
    """All three files can be written, and replace no other program's. ValueError, OSError; nothing is made."""
    from t2v_helpers.core import checking
    from t2v_helpers.model import generate

    checking.suffix("--out", path, ".mp4")
    beside = [path.with_suffix(suffix) for suffix in SUFFIXES]
    for one in beside:
        files.check_target(one)
    generate.check_beside(path)


def _write_sheet(items: list, path: Path, columns: int) -> None:
    from t2v_helpers.core import video

    clips = [video.label(video.enlarge(item.frames, SHEET_SCALE), item.caption) for item in items]
    sheet = video.grid(clips, columns)  # [f h w c]
    if path.suffix.lower() == ".png":
        video.write_png(sheet[len(sheet) // 2], path)
    else:
        (video.write_gif if path.suffix.lower() == ".gif" else video.write_mp4)(sheet, path)


def _print(result: str | dict) -> None:
    """Print a text as it is, a dict as JSON with null for NaN and infinity."""
    if not isinstance(result, str):
        finite = json.loads(json.dumps(result), parse_constant=lambda name: None)
        result = json.dumps(finite, indent=2)
    print(result)


if __name__ == "__main__":
    raise SystemExit(main())
