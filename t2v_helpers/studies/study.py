"""Studies: what needs many videos. A table has one row per seed, and is resumed where it was stopped.

    t2v study                   # every study: what it asks, rows done, minutes
    t2v study knobs --seeds 8   # add the rows that benchmarks/knobs.jsonl lacks, then print the summary

All of them take less than an hour and a half of two cores. Small networks gain little from a second thread, so run two
studies side by side, each with OMP_NUM_THREADS=1; only `speedups`, which measures seconds, must run alone.
A study is a module of this folder that declares a STUDY. The first line of its table names the command, the weights and
the settings: a table of other weights or settings is refused and left alone. The whole file is written after each row.
"""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from tqdm import tqdm

from t2v_helpers.core import arguments, checking, files, paths, tables
from t2v_helpers.model import loading

ALL = "all"


@dataclass(frozen=True)
class Study:
    """A study, declared.

    name, asks: its name and its question. file: its table in benchmarks/. seeds: the number of rows; minutes: roughly,
    of two CPU cores. head(pipe): the settings, as JSON. row(pipe, seed): a dict with "seed", "prompt" and "found".
    summary(rows): text. judged: the judge reads the videos, so the model must be of the cartoon world.
    """

    name: str
    asks: str
    file: str
    seeds: int
    minutes: float
    head: Callable[[Any], dict]
    row: Callable[[Any, int], dict]
    summary: Callable[[list[dict]], str]
    judged: bool = True

    @property
    def command(self) -> str:
        """The command that makes the table."""
        return f"t2v study {self.name}"

    @property
    def table(self) -> Path:
        """The committed table."""
        return paths.BENCHMARKS / self.file

    def make(self, pipe, seeds: Iterable[int] | None = None, table: Path | None = None, model="cartoon") -> Path:
        """Add the row of every seed that the table lacks (None: all seeds, the committed table); return the table.

        model: what the pipeline was loaded from. Errors: ValueError (not such a table, or one of other weights or
        settings), those of `files.check_target`.
        """
        table = table or self.table
        files.check_target(table)
        head = {"command": self.command, "weights": loading.weights_of(model)} | self.head(pipe)
        about, *rows = self._read(table) if table.exists() else [head]
        if how := checking.difference(about, head, about | head):
            raise ValueError(f"{files.named(table)} was measured otherwise ({how}): move it away to begin anew.")
        done = {row["seed"] for row in rows}
        missing = [seed for seed in (range(self.seeds) if seeds is None else seeds) if seed not in done]
        for seed in tqdm(missing, desc=self.name, unit="seed"):
            rows = sorted([*rows, self.row(pipe, seed)], key=lambda row: row["seed"])
            files.write_text(table, "\n".join(map(json.dumps, [head, *rows])) + "\n")
        return table

    def load(self, table: Path | None = None) -> list[dict]:
        """The rows of the table (None: the committed one). Errors: FileNotFoundError, ValueError (not such a table)."""
        return self._read(table or self.table)[1:]

    def about(self, table: Path | None = None) -> dict:
        """The first line of the table: how it was made. Errors: as `load`."""
        return self._read(table or self.table)[0]

    def _read(self, table: Path) -> list[dict]:
        rows, where = [], files.named(table)
        if not table.exists():
            how = f"make it with `{self.command}`, which takes some {self.minutes:g} minutes"
            raise FileNotFoundError(f"{where} does not exist: {how}.")
        for n, text in enumerate(files.read_text(table).splitlines(), 1):
            try:
                rows.append(files.parse_json(text))
            except ValueError as error:
                how = "delete that line, and its seed is measured again" if n > 1 else "use another name"
                raise ValueError(f"line {n} of {where} is damaged ({files.reason(error)}): {how}.") from error
            if n > 1 and not ({"seed", "prompt"} <= rows[-1].keys() and isinstance(rows[-1].get("found"), dict)):
                raise ValueError(f"line {n} of {where} is not a row: delete it, then resume with `{self.command}`.")
        if not rows or "weights" not in rows[0]:
            raise ValueError(f"{where} is not a table of `{self.command}`: use another name.")
        return rows


def studies() -> dict[str, Study]:
    """Every study of this folder, by name."""
    found = pkgutil.iter_modules([str(paths.PACKAGE / "studies")], f"{__package__}.")
    modules = [importlib.import_module(module.name) for module in found]
    return {module.STUDY.name: module.STUDY for module in modules if hasattr(module, "STUDY")}


def cells(rows: Iterable[dict], *place: Any) -> list:
    """row[a][b] ... for the place a, b ... in every row that has it. ValueError: no row has, or there are none."""
    found, rows = [], list(rows)
    for row in rows:
        with suppress(KeyError):
            found.append(reduce(getitem, map(str, place), row))
    if not found:
        *above, last = place
        known = cells(rows, *above)[0] if rows else ["no rows"]
        where = f" in {' '.join(map(checking.listed, above))}" if above else ""
        raise ValueError(f"the table has no {checking.shown(last)}{where}: it has {checking.listed(*known)}.")
    return found


def cartoon_pipeline(model: str, device: str = "auto"):
    """A pipeline whose videos the judge can read. ValueError: another world's, refused before any download."""
    pipe = None if loading.find(model).folder is None else loading.load(model, device, quiet=True)
    if pipe is None or not loading.is_cartoon(pipe):
        raise ValueError(
            f"model={checking.shown(model)} is not of the cartoon world, so the judge cannot read it: use 'cartoon'."
        )
    return pipe


def in_new_python(code: str, *words: str) -> str:
    """What `code` prints in a new Python that finds this package. ChildProcessError: it fails; says why."""
    found = os.pathsep.join(filter(None, [str(paths.ROOT), os.environ.get("PYTHONPATH")]))
    call = [sys.executable, "-c", code, *words]
    done = subprocess.run(call, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": found})
    if done.returncode:
        raise ChildProcessError(f"a new Python failed: {arguments.brief(done.stderr.strip().splitlines()[-1])}")
    return done.stdout


def overview() -> str:
    """Every study in a line: its name, what it asks, rows done, and minutes of two CPU cores."""
    rows = [("study", "what it asks", "rows", "minutes")]
    for one in studies().values():
        done = len(one.load()) if one.table.exists() else 0
        rows.append((one.name, one.asks, f"{done} of {one.seeds}", f"{one.minutes:g}"))
    return tables.aligned(rows)


def run(study: Study, model: str, device: str, seeds: int | None = None, table: Path | None = None) -> str:
    """Resume a study for seeds 0, 1 ... and return its summary. Errors: of loading.load, and of Study.make."""
    count = checking.whole("--seeds", study.seeds if seeds is None else seeds, 1, study.seeds)
    pipe = cartoon_pipeline(model, device) if study.judged else loading.load(model, device, quiet=True)
    return study.summary(study.load(study.make(pipe, range(count), table, model)))


def main(words: list[str] | None = None) -> int:
    """`t2v study`: list the studies, or resume one. Errors: ValueError, OSError, MemoryError."""
    known = studies()
    p = arguments.Parser(prog="t2v study", description="Resume a study, or list them all.")
    p.add_argument("name", nargs="?", choices=[*known, ALL], metavar="NAME", help=f"one of: {', '.join(known)}, {ALL}")
    p.add_argument("--seeds", type=arguments.whole(), help="how many rows: seeds 0, 1, 2 ... (all)")
    p.add_argument("--table", type=arguments.path, help="the file (the committed table in benchmarks/)")
    p.add_argument("--model", default="cartoon", help="cartoon or a folder; for speedups also modelscope (%(default)s)")
    arguments.add(p, "device")
    asked = p.parse_args(words)
    if asked.name is None:
        print(overview())
    elif asked.name == ALL and asked.table:
        p.error("--table is one file: name one study")
    else:
        for study in known.values() if asked.name == ALL else [known[asked.name]]:
            print(run(study, asked.model, asked.device, asked.seeds, asked.table))
    return 0
