"""What each notebook costs, in seconds and memory: from the last run into a committed table, and from there to readers.

    make run ARGS='--at-once 1' && t2v costs

copies outputs/run.json into benchmarks/notebooks.json and rewrites the README's table of notebooks. A notebook prints
its own line of the table (`line`), so no document holds a number that was typed by hand.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2v_helpers.core import arguments, paths
from t2v_helpers.core.checking import listed, one_of
from t2v_helpers.core.files import existing, named, read_json, read_text, write_text
from t2v_helpers.core.model_names import MODELS
from t2v_helpers.machine import doctor
from t2v_helpers.machine.probe import in_threads

TABLE = paths.BENCHMARKS / "notebooks.json"
README = paths.ROOT / "README.md"
COMMAND = "t2v costs"
BEGIN, END = "<!-- notebooks: begin -->", "<!-- notebooks: end -->"


def load(table: str | Path = TABLE) -> dict:
    """The committed table: model -> {"machine": {...}, "notebooks": {name: {"seconds", "peak_memory_mib"}}}.

    Errors: FileNotFoundError: it is not there yet; ValueError: it is something else.
    """
    return _within(existing(table, f"make it with `make run` and `{COMMAND}`"), "models", dict)


def record(run: str | Path, model: str, table: str | Path = TABLE) -> Path:
    """Copy the seconds and memory of outputs/run.json (`run`) into the table, under `model`, with this machine's facts.

    Notebooks that the run left out keep their numbers. Errors: FileNotFoundError (no run), ValueError (a run with a
    failed notebook, or an unknown model).
    """
    one_of("model", model, MODELS)
    results = read_run(run)
    if failed := [result["notebook"] for result in results if result["error"]]:
        raise ValueError(f"{named(run)} has failed notebooks ({listed(*failed)}): fix them and run again.")
    found = {r["notebook"]: {key: r[key] for key in ("cells", "seconds", "peak_memory_mib")} for r in results}
    models = load(table) if Path(table).is_file() else {}
    before = models.get(model, {}).get("notebooks", {})
    seen = doctor.look()
    here = {"cpu": seen.cpu, "threads": seen.threads, "device": seen.device_name or "CPU", "build": seen.build}
    models[model] = {"machine": here, "notebooks": dict(sorted((before | found).items()))}
    whole = {"command": f"T2V_MODEL={model} make run ARGS='--at-once 1' && {COMMAND}", "models": models}
    return write_text(table, json.dumps(whole, indent=2) + "\n")


def read_run(path: str | Path) -> list[dict]:
    """The results in a run.json, one for each notebook. FileNotFoundError: no run; ValueError: something else."""
    return _within(existing(path, "run the notebooks first, with `make run`"), "notebooks", list)


def _within(path: Path, key: str, kind: type) -> Any:
    found = read_json(path).get(key)
    if not isinstance(found, kind):
        raise ValueError(f"{named(path)} has no {key}: delete it, and make it again.")
    return found


def line(notebook: str, table: str | Path = TABLE) -> str:
    """One line for a notebook's first page: what it took from first cell to last, with each measured model."""
    said, measured = [], load(table) if Path(table).is_file() else {}
    for model, run in measured.items():
        if cost := run["notebooks"].get(notebook):
            device, threads = run["machine"]["device"], in_threads(run["machine"]["threads"], "CPU thread")
            said.append(f"{_cost(cost, ' minutes and ')} with {model} on {threads if device == 'CPU' else device}")
    unknown = [model for model in MODELS if model not in " ".join(said)]
    return "The whole notebook: " + "; ".join(said + [f"with {model} not measured yet" for model in unknown]) + "."


def readme_table(table: str | Path = TABLE, notebooks: str | Path = paths.NOTEBOOKS) -> str:
    """The README's table, a row for each notebook on disk: its question, minutes and memory."""
    rows = ["| notebook | the question | minutes | memory |", "|---|---|---|---|"]
    costs = load(table)["cartoon"]["notebooks"]
    for path in sorted(Path(notebooks).glob("[0-9][0-9]_*.ipynb")):
        title = "".join(read_json(path)["cells"][0]["source"]).splitlines()[0]
        numbers = _cost(costs[path.stem], " | ") if path.stem in costs else "not measured | not measured"
        link = f"[{path.stem}](notebooks/{path.name})"
        rows.append(f"| {link} | {title.lstrip('# ')} | {numbers} |")
    return "\n".join(rows)


def not_run_here() -> str:
    """The list of what has not been run, in Markdown: the site and notebook 10 show it."""
    return read_text(paths.PACKAGE / "course" / "not_run_here.md").strip()


def write_readme(readme: str | Path = README, table: str | Path = TABLE) -> Path:
    """Put the table between its marks in the README. ValueError: marks are missing."""
    text, part = read_text(readme), f"{BEGIN}\n{readme_table(table)}\n{END}"
    changed, found = re.subn(f"{BEGIN}.*?{END}", lambda _: part, text, count=1, flags=re.DOTALL)
    if not found:
        raise ValueError(f"{named(readme)} lacks the marks {BEGIN} and {END}: put them where the table belongs.")
    return write_text(readme, changed)


def _cost(cost: dict, between: str) -> str:
    """Minutes and memory: "1.5 minutes and 2.0 GiB", with other words in between."""
    return f"{cost['seconds'] / 60:.1f}{between}{cost['peak_memory_mib'] / 1024:.1f} GiB"


def main(argv: Sequence[str] | None = None) -> int:
    """`t2v costs`. Errors: see `record` and `write_readme`."""
    p = arguments.Parser(prog=COMMAND, description="Copy what the last run cost into the committed table.")
    run = paths.ROOT / "outputs" / "run.json"
    p.add_argument("--run", type=arguments.path, default=run, help="what `make run` left (%(default)s)")
    p.add_argument("--model", default=os.environ.get("T2V_MODEL", "cartoon"), help="the model of that run")
    options = p.parse_args(argv)
    record(options.run, options.model)
    write_readme()
    return 0
