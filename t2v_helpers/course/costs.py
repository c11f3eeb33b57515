"""What each notebook costs, in seconds and memory: from the last run into a committed table, and from there to readers.

    make run && t2v costs

copies outputs/run.json into benchmarks/notebooks.json and rewrites the README's table of notebooks. A notebook prints
its own line of the table (`line`), so no document holds a number that was typed by hand.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from t2v_helpers.core import arguments, model_names, paths
from t2v_helpers.core.checking import one_of
from t2v_helpers.core.files import write_text
from t2v_helpers.machine import doctor
from t2v_helpers.machine.probe import in_threads

TABLE = paths.BENCHMARKS / "notebooks.json"
README = paths.ROOT / "README.md"
COMMAND = "t2v costs"
BEGIN, END = "<!-- notebooks: begin -->", "<!-- notebooks: end -->"
LIST_BEGIN, LIST_END = "<!-- not run here: begin -->", "<!-- not run here: end -->"
MODELS = {name: model.hardware for name, model in model_names.MODELS.items()}


def load(table: str | Path = TABLE) -> dict:
    """The committed table: model -> {"machine": {...}, "notebooks": {name: {"seconds", "peak_memory_mib"}}}.

    FileNotFoundError: it is not there yet.
    """
    if not Path(table).is_file():
        raise FileNotFoundError(f"{table} does not exist: make it with `make run` and `{COMMAND}`.")
    return json.loads(Path(table).read_text(encoding="utf-8"))["models"]


def record(run: str | Path, model: str, table: str | Path = TABLE) -> Path:
    """Copy the seconds and memory of outputs/run.json (`run`) into the table, under `model`, with this machine's facts.

    Notebooks that the run left out keep their numbers. Errors: FileNotFoundError (no run), ValueError (a run with a
    failed notebook, or an unknown model).
    """
    one_of("model", model, MODELS)
    found = _read_run(Path(run))
    models = load(table) if Path(table).is_file() else {}
    before = models.get(model, {}).get("notebooks", {})
    models[model] = {"machine": _machine(), "notebooks": dict(sorted((before | found).items()))}
    whole = {"command": f"T2V_MODEL={model} make run && {COMMAND}", "models": models}
    return write_text(table, json.dumps(whole, indent=2) + "\n")


def line(notebook: str, table: str | Path = TABLE) -> str:
    """One line for a notebook's first page: what it took from first cell to last, with each measured model."""
    said, measured = [], load(table) if Path(table).is_file() else {}
    for model, run in measured.items():
        if cost := run["notebooks"].get(notebook):
            said.append(f"{_minutes(cost)} minutes and {_gib(cost)} GiB with {model} on {_short(run['machine'])}")
    unknown = [model for model in MODELS if model not in " ".join(said)]
    return "The whole notebook: " + "; ".join(said + [f"with {model} not measured yet" for model in unknown]) + "."


def readme_table(table: str | Path = TABLE, notebooks: str | Path = paths.NOTEBOOKS) -> str:
    """The README's table, a row for each notebook on disk: its question, minutes, memory and hardware."""
    rows = ["| notebook | the question | minutes | memory | hardware |", "|---|---|---|---|---|"]
    costs = load(table)["cartoon"]["notebooks"]
    for path in sorted(Path(notebooks).glob("[0-9][0-9]_*.ipynb")):
        cost = costs.get(path.stem)
        numbers = f"{_minutes(cost)} | {_gib(cost)} GiB" if cost else "not measured | not measured"
        rows.append(f"| [{path.stem}](notebooks/{path.name}) | {_question(path)} | {numbers} | {MODELS['cartoon']} |")
    return "\n".join(rows)


def not_run_here() -> str:
    """The list of what has not been run, in Markdown: README and notebook 10 show it."""
    return (paths.PACKAGE / "course" / "not_run_here.md").read_text(encoding="utf-8").strip()


def write_readme(readme: str | Path = README, table: str | Path = TABLE) -> Path:
    """Put the table and the list between their marks in the README. ValueError: marks are missing."""
    text = Path(readme).read_text(encoding="utf-8")
    text = _between(text, BEGIN, END, readme_table(table), readme)
    return write_text(readme, _between(text, LIST_BEGIN, LIST_END, not_run_here(), readme))


def _between(text: str, begin: str, end: str, part: str, readme: str | Path) -> str:
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{readme} lacks the marks {begin} and {end}: put them where the table or list belongs.")
    return f"{before}{begin}\n{part}\n{end}{after}"


# --- small parts


def _read_run(path: Path) -> dict[str, dict]:
    """Notebook -> its cost."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: run the notebooks first, with `make run`.")
    results = json.loads(path.read_text(encoding="utf-8"))["notebooks"]
    failed = [result["notebook"] for result in results if result["error"]]
    if failed:
        raise ValueError(f"{path} has failed notebooks ({', '.join(failed)}): fix them and run again.")
    return {r["notebook"]: {key: r[key] for key in ("cells", "seconds", "peak_memory_mib")} for r in results}


def _machine() -> dict:
    found = doctor.look()
    return {"cpu": found.cpu, "threads": found.threads, "device": found.device_name or "CPU", "build": found.build}


def _short(machine: dict) -> str:
    return machine["device"] if machine["device"] != "CPU" else in_threads(machine["threads"], "CPU thread")


def _minutes(cost: dict) -> str:
    return f"{cost['seconds'] / 60:.1f}"


def _gib(cost: dict) -> str:
    return f"{cost['peak_memory_mib'] / 1024:.1f}"


def _question(path: Path) -> str:
    """The notebook's title: the first heading of its first cell."""
    first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    return first.splitlines()[0].lstrip("# ")


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
