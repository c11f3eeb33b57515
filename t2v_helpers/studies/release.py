"""`make bench`: every number that this project promises, measured, with its n and its interval.

    t2v bench                   # everything; writes benchmarks/ and the numbers in the two cards
    t2v bench --only vae judge  # these parts again, the others kept
    t2v bench --quick           # fewer prompts, wider intervals; prints, and writes nothing

What is measured is declared once, in PARTS; how, in release_measures.py.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.core import arguments, files, paths, tables, video
from t2v_helpers.machine import doctor
from t2v_helpers.machine.probe import in_threads
from t2v_helpers.metrics.estimates import Bar, Measure
from t2v_helpers.model import loading
from t2v_helpers.model.later import dit_file
from t2v_helpers.studies import release_measures as measures
from t2v_helpers.studies import study, unet_speed

FOLDER = paths.BENCHMARKS
CARDS = (paths.WEIGHTS / "MODEL_CARD.md", paths.PACKAGE / "cartoon" / "DATA_CARD.md")
BARS = {  # what is reported, in this order, and what it must reach
    name: Bar(**bar) for name, bar in files.read_json(paths.PACKAGE / "studies" / "bars.json").items()
}


# --- what is measured


@dataclass(frozen=True)
class Count:
    """How many things a part measures: the name of its option, its default, the one of --quick, and what they are."""

    name: str
    full: int
    quick: int
    what: str

    @property
    def word(self) -> str:
        """The option: --held-out."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Part:
    """A part of the benchmark.

    measure(pipe, options): (measures by name, right answers by word). count: the option that says how many.
    weights(model): the hash of what is measured.
    """

    measure: Callable[[Any, argparse.Namespace], tuple[dict[str, Measure], dict]]
    count: Count | None = None
    weights: Callable[[str], str] = loading.weights_of


def _weights_of_student(model: str) -> str:
    student = loading.find(model).student
    return loading.weights_of(student) if student else ""


PARTS = {
    "judge": Part(
        lambda pipe, options: (measures.measure_judge(options.renders), {}),
        Count("renders", 1000, 200, "fresh renders for the judge, for each disturbance"),
        weights=lambda model: files.sha256(judges.WEIGHTS),
    ),
    "vae": Part(
        lambda pipe, options: (measures.measure_vae(pipe.vae, options.clips), {}),
        Count("clips", 256, 32, "fresh renders for the VAE"),
    ),
    "grammar": Part(
        lambda pipe, options: measures.measure_prompts(pipe, options.prompts, "all", options.batch),
        Count("prompts", 512, 32, "sentences from the grammar"),
    ),
    "held_out": Part(
        lambda pipe, options: measures.measure_prompts(pipe, options.held_out, "held_out", options.batch),
        Count("held_out", 128, 16, "sentences of held-out combinations"),
    ),
    "ride": Part(
        lambda pipe, options: (measures.measure_ride(pipe, options.rides, options.batch), {}),
        Count("rides", 32, 4, "videos of the monkey on its horse"),
    ),
    "student": Part(
        lambda pipe, options: (measures.measure_student(options.model, options.student, options.batch), {}),
        Count("student", 256, 16, "sentences for the student"),
        weights=_weights_of_student,
    ),
    "dit": Part(
        lambda pipe, options: (measures.measure_dit(pipe, options.model, options.dit, options.batch), {}),
        Count("dit", 128, 4, "sentences for the DiT, and for the UNet beside it"),
        weights=lambda model: files.sha256(dit_file.WEIGHTS) if dit_file.WEIGHTS.is_file() else "",
    ),
    "timings": Part(lambda pipe, options: (measures.measure_timings(pipe, options.model), {})),
    "unet": Part(lambda pipe, options: (unet_speed.measure_unet(pipe.unet), {})),
    "temporal": Part(
        lambda pipe, options: (measures.measure_temporal(pipe, options.seeds), {}),
        Count("seeds", 32, 4, "videos of each variant of the temporal layers"),
    ),
}


def counts() -> list[Count]:
    """The counts of all parts."""
    return [part.count for part in PARTS.values() if part.count]


# --- what is done with it


def run(options: argparse.Namespace) -> dict[str, dict]:
    """The parts in `options.only`: command, weights, machine, measures and words of each, ready for JSON."""
    pipe = study.cartoon_pipeline(options.model)  # the judge does not need it, but a wrong name is refused at once
    hashes = {part: PARTS[part].weights(options.model) for part in options.only}
    results = {}
    for part in options.only:
        measures, words = PARTS[part].measure(pipe, options)
        results[part] = {
            "command": command(part, options),
            "weights": hashes[part],
            "machine": machine(),
            "measures": {name: asdict(m) for name, m in measures.items()},
            "words": words,
        }
    return results


def machine() -> str:
    """This machine: processor, threads, and the versions of Python and torch."""
    seen = doctor.look()
    return f"{seen.cpu}, {in_threads(seen.threads)}, Python {seen.python}, torch {torch.__version__}"


def command(part: str, options: argparse.Namespace) -> str:
    """The command that measures `part` again."""
    counted = PARTS[part].count
    given = f" {counted.word} {getattr(options, counted.name)}" if counted else ""
    return f"t2v bench --model {options.model} --only {part}{given}"


def recorded(part: str) -> dict[str, Measure]:
    """The committed measures of a part; {} if it was not measured yet."""
    return {name: Measure(**m) for name, m in _stored(FOLDER).get(part, {"measures": {}})["measures"].items()}


def missed(results: dict) -> list[str]:
    """The bars that these results do not reach."""
    return [bar.what for bar, m in _measured(results) if not bar.reached(m.value)]


def table(results: dict) -> str:
    """Every bar that was measured, as a Markdown table."""
    if not results:
        return "Not measured yet: run `make bench`."
    head = ["what", "measured", "95 % interval", "n", "bar", "aim", ""]
    return tables.markdown(head, (bar.cells(m) for bar, m in _measured(results)))


def word_table(results: dict) -> str:
    """How often each word was read right, of how often it was asked, as a Markdown table."""
    rows = [
        (part, label, ", ".join(f"{w} {k}/{n}" for w, (k, n) in counts.items()))
        for part, found in results.items()
        for label, counts in found["words"].items()
    ]
    return tables.markdown(["prompts", "label", "right of asked"], rows)


def page(results: dict) -> str:
    """benchmarks/README.md: the tables, and the command and the machine of each part."""
    sources = "\n".join(f"- {part}: `{found['command']}`, on {found['machine']}" for part, found in results.items())
    return (
        "# Benchmarks\n\nMade by `make bench`; the model card says what is measured and how. Shares have Wilson's 95 % "
        "interval; times are\nthe median, with the fastest and the slowest run as the interval.\n\n"
        f"{table(results)}\n\n"
        f"Word by word, in how many videos the judge read what was asked:\n\n{word_table(results)}\n\n"
        f"The command of each part:\n\n{sources}\n"
    )


def held_out_list() -> str:
    """The combinations that training never sees, as a Markdown list, one line a subject."""
    lines = {}
    for subject, action, place in cartoon.HELD_OUT:
        lines.setdefault(subject, []).append(f"{action} / {place}")
    return "\n".join(f"- {subject}: {', '.join(found)}" for subject, found in lines.items())


def world_facts() -> str:
    """The size of the grammar and the held-out share, as a Markdown table."""
    everything = cartoon.combinations()
    held = sum(map(cartoon.is_held_out, everything))
    rows = {x: ", ".join(words) for x, words in judges.CLASSES.items()}
    rows["combinations"] = f"{len(everything)}, of which {held} ({held / len(everything):.1%}) are held out"
    rows["vocabulary"] = f"{len(cartoon.vocabulary())} words"
    rows["a clip"] = f"{cartoon.SIZE} x {cartoon.SIZE} pixels, {video.FPS} frames a second"
    return tables.markdown(["what", ""], rows.items())


def filled(card: str, results: dict) -> str:
    """The text of a card with each block between `<!-- NAME -->` and `<!-- end -->` regenerated."""
    made = {"bench": table(results), "held out": held_out_list(), "world": world_facts()}
    for name, text in made.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        card = block.sub(lambda found, text=text: found[1] + text + found[2], card)
    return card


def write(results: dict, folder: Path) -> None:
    """Write results.json and README.md into `folder`, keeping parts not measured now, and the numbers in CARDS."""
    both = _stored(folder) | results
    merged = {part: both[part] for part in PARTS if part in both}
    files.write_text(folder / "results.json", json.dumps(merged, indent=2) + "\n")
    files.write_text(folder / "README.md", page(merged))
    for card in CARDS:
        files.write_text(card, filled(files.read_text(card), merged))


def main(argv: list[str] | None = None) -> int:
    """Measure and print; write the files if no count was lowered. Exit status 1 if a bar is missed."""
    as_written = argparse.RawDescriptionHelpFormatter
    p = add_options(arguments.Parser(prog="t2v bench", description=__doc__, formatter_class=as_written))
    options = p.parse_args(argv)
    if options.quick:
        p.set_defaults(**{counted.name: counted.quick for counted in counts()})
        options = p.parse_args(argv)
    if is_full(options):
        _stored(FOLDER)  # a damaged file is refused now, not when all is measured
    results = run(options)
    print(json.dumps(results, indent=2) if options.json else f"{table(results)}\n\n{word_table(results)}")
    if is_full(options):
        write(results, FOLDER)
    for what in missed(results):
        print(f"below the bar: {what}", file=sys.stderr)
    return 1 if missed(results) else 0


def is_full(options: argparse.Namespace) -> bool:
    """Whether the shipped model was measured, no count was lowered, and this is a checkout, which holds the files."""
    whole = all(getattr(options, counted.name) >= counted.full for counted in counts())
    return whole and options.model == "cartoon" and (FOLDER.parent / "pyproject.toml").exists()


def add_options(p: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The benchmark's options, added to a parser."""
    p.add_argument("--model", default="cartoon", help="cartoon, or a folder with a model of the cartoon world")
    for one in (*counts(), Count("batch", 8, 8, "videos made at once")):
        p.add_argument(one.word, type=arguments.whole(), default=one.full, help=f"{one.what} (%(default)s)")
    p.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    p.add_argument("--quick", action="store_true", help="smaller default numbers, and wider intervals")
    p.add_argument("--json", action="store_true", help="print the results as JSON")
    return p


def _measured(results: dict) -> list[tuple[Bar, Measure]]:
    found = {name: Measure(**m) for part in results.values() for name, m in part["measures"].items()}
    found |= _of_the_teacher(found)
    return [(bar, found[name]) for name, bar in BARS.items() if name in found]


def _of_the_teacher(found: dict[str, Measure]) -> dict[str, Measure]:
    """The student's sharpness relative to the teacher's, where both were measured; its own interval, divided."""
    teacher = found.get("grammar/sharpness")
    students = {calls: found.get(f"student/{calls}/sharpness") for calls in measures.CALLS}
    return {
        f"student/{calls}/teacher": Measure(*(x / teacher.value for x in (m.value, m.low, m.high)), m.n)
        for calls, m in students.items()
        if m and teacher
    }


def _stored(folder: Path) -> dict[str, dict]:
    path = folder / "results.json"
    return files.read_json(path) if path.exists() else {}
