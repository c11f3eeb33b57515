"""`t2v`: the course at the command line. Each command is a few lines around a function that the notebooks call too.

What goes wrong with the input ends in one sentence on stderr and exit status 2. Libraries are imported by the command
that needs them, so that `t2v --help` is there at once.
"""

import argparse
import importlib
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

# These have a `main` and options of their own.
MODULES = {"run": "course", "sweep": "sweep", "bench": "bench", "train": "train"}
INPUT_ERRORS = (ValueError, OSError, MemoryError, ImportError)
SHEET_SCALE = 4


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` says more)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, 1 where something failed that was asked, 2 for bad input."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if argv and argv[0] in MODULES:
            return importlib.import_module(f"t2v_helpers.{MODULES[argv[0]]}").main(argv[1:])
        options = parser().parse_args(argv)
        return options.command(options)
    except INPUT_ERRORS as error:
        print(f"t2v: {sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("t2v: stopped.", file=sys.stderr)
        return 130


def sentence(error: Exception) -> str:
    """What an error says, in one line; the system's own errors name their file."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    return " ".join(str(error).split()) or f"{type(error).__name__}."


# --- what can be asked


def parser() -> Parser:
    """The parser of all commands; those of MODULES are named here and read their options themselves."""
    p = Parser(prog="t2v", description="Videos from words.")
    commands = p.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _generate_options(commands.add_parser("generate", help="make a video from words"))
    _info_options(commands.add_parser("info", help="what this machine has, what is missing, and how to mend it"))
    _world_options(commands.add_parser("world", help="a sheet of clips of the cartoon world, as the model saw them"))
    _trace_options(
        commands.add_parser("trace", help="what is inside a model: parameters and FLOPs, without its weights")
    )
    commands.add_parser(
        "sweep", help="make a grid of videos: prompts, schedulers, steps, seeds; goes on where it stopped"
    )
    commands.add_parser("run", help="run every notebook; pages, videos and an index in outputs/")
    commands.add_parser("train", help="train the cartoon model again from nothing")
    commands.add_parser("bench", help="measure the model: every bar with its number and interval")
    return p


def _generate_options(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command=generate)
    p.add_argument("prompt", help='what to show: "a robot is dancing in times square in van gogh style"')
    p.add_argument("-o", "--out", help="the video's file, .mp4; a record and a filmstrip are put beside it")
    p.add_argument("--model", default="cartoon", help="cartoon, modelscope or a folder (%(default)s)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda (also for ROCm) or cuda:1")
    p.add_argument("--dtype", default="auto", help="auto, float32, float16 or bfloat16")
    p.add_argument("--offline", action="store_true", default=None, help="download nothing")
    asked = {"default": argparse.SUPPRESS}  # what is not given is left to GenerationSpec
    p.add_argument("--negative-prompt", **asked, help="what not to show")
    p.add_argument("--seed", type=int, **asked, help="another seed, another video")
    p.add_argument("--scheduler", **asked, help="dpm++, ddim, lms, pndm, euler, heun, unipc, deis or ddpm")
    p.add_argument("--steps", type=int, **asked, help="more steps, more time")
    p.add_argument("--guidance", type=float, **asked, help="how closely to follow the words")
    p.add_argument("--frames", type=int, **asked)
    p.add_argument("--height", type=int, **asked, help="pixels")
    p.add_argument("--width", type=int, **asked, help="pixels")
    _json_option(p)


def _info_options(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command=info)
    _json_option(p)


def _world_options(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command=world)
    p.add_argument("-o", "--out", default="outputs/world.png", help="a .png, .gif or .mp4 (%(default)s)")
    p.add_argument("--count", type=int, default=24, help="how many clips (%(default)s)")
    p.add_argument("--columns", type=int, default=6, help="clips in a row of a .png (%(default)s)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--split", default="all", help="train, held_out or all (%(default)s)")
    _json_option(p)


def _trace_options(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command=trace)
    p.add_argument("model", help="cartoon, modelscope or a folder")
    p.add_argument("--frames", type=int, default=16, help="(%(default)s)")
    p.add_argument("--height", type=int, help="pixels (the model's own)")
    p.add_argument("--width", type=int, help="pixels (the model's own)")
    _json_option(p)


def _json_option(p: argparse.ArgumentParser) -> None:
    p.add_argument("--json", action="store_true", help="print the result as JSON")


# --- the commands


def generate(options: argparse.Namespace) -> int:
    """Make a video. Errors: of models.load and generate.generate; ValueError: words that the cartoon does not know."""
    from t2v_helpers import generate, models
    from t2v_helpers.records import GenerationSpec

    given = {f.name: getattr(options, f.name) for f in fields(GenerationSpec) if hasattr(options, f.name)}
    spec = GenerationSpec(**given)
    path = _video_path(options.out, spec)
    pipe = models.load(options.model, options.device, options.dtype, options.offline)
    if models.is_cartoon(pipe):
        models.refuse_unknown_words(f"{spec.prompt} {spec.negative_prompt}")
    generate.check(pipe, spec)
    made = _with_bar(lambda progress: generate.generate(pipe, spec, progress))
    generate.save(made, path, models.defaults(pipe).fps)
    record = made.record
    words = f"{path}: {record.seconds:.1f} s, {record.peak_memory_mib:.0f} MiB; what was asked is in {path.stem}.json"
    _print({"path": str(path), "record": asdict(record)} if options.json else words)
    return 0


def info(options: argparse.Namespace) -> int:
    """Say what this machine has, what is missing, and how to mend it."""
    from t2v_helpers import environment

    found = environment.look()
    _print(asdict(found) if options.json else str(found))
    return 0


def world(options: argparse.Namespace) -> int:
    """Draw a sheet of the cartoon world. ValueError: a number out of range, an unknown split or kind of file."""
    from t2v_helpers import cartoon

    if options.count < 1:
        raise ValueError(f"--count {options.count} is out of range: ask for 1 clip or more.")
    items = [cartoon.item(options.seed, i, split=options.split) for i in range(options.count)]
    _write_sheet(items, Path(options.out), options.columns)
    captions = [item.caption for item in items]
    _print({"path": options.out, "captions": captions} if options.json else "\n".join([*captions, "", options.out]))
    return 0


def trace(options: argparse.Namespace) -> int:
    """Trace a model without its weights. Errors: of models.skeleton; ValueError: frames or size out of range."""
    from t2v_helpers import gpus, models, tracing

    parts = models.skeleton(options.model)
    traces = tracing.trace_parts(parts, options.frames, options.height, options.width)
    step = traces["unet"].total.flops
    if options.json:
        _print({"parts": {name: t.to_dict() for name, t in traces.items()}, "ideal_step_seconds": gpus.ideal(step)})
    else:
        _print(f"{tracing.report(traces)}\n\na guided step at the published peaks of GPUs\n{gpus.table(step)}")
    return 0


def _video_path(out: str | None, spec) -> Path:
    """Where the video goes, looked at before anything is computed. ValueError, OSError."""
    words = "-".join(re.findall(r"\w+", spec.prompt.lower()))[:60]
    path = Path(out or f"outputs/{words or 'video'}-{spec.seed}.mp4")
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"--out {str(path)!r} does not end in .mp4: give the video's file that ending.")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _with_bar(work):
    """Do `work(progress)` with a bar on stderr that counts the steps."""
    from tqdm import tqdm

    with tqdm(unit="step", desc="denoising") as bar:

        def progress(step):
            bar.total = step.total
            bar.update()

        return work(progress)


def _write_sheet(items: list, path: Path, columns: int) -> None:
    from t2v_helpers import video

    clips = [video.label(video.enlarge(item.frames, SHEET_SCALE), item.caption) for item in items]
    sheet = video.grid(clips, columns)  # [f h w c]
    if path.suffix.lower() == ".png":
        video.write_png(sheet[len(sheet) // 2], path)
    elif path.suffix.lower() == ".gif":
        video.write_gif(sheet, path)
    elif path.suffix.lower() == ".mp4":
        video.write_mp4(sheet, path)
    else:
        raise ValueError(f"--out {str(path)!r} ends in {path.suffix!r}: give it .png, .gif or .mp4.")


def _print(result: str | dict) -> None:
    """A text as it is; a dict as JSON, where what is not a number is null."""
    print(result if isinstance(result, str) else json.dumps(_finite(result), indent=2))


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    raise SystemExit(main())
