"""Run the whole course without a browser: execute every notebook; leave pages, videos and an index.

A notebook that fails or cannot be read does not stop the others. Its page is removed, so every page is whole.

On a CPU of two cores or more, two notebooks run side by side, each with half of the threads: a small model gains little
from more. A notebook with {"t2v": {"alone": true}} in its metadata has the machine to itself, since it measures times.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import nbformat
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm

from t2v_helpers.core import arguments, checking
from t2v_helpers.core.files import check_target, is_folder, named, write_text
from t2v_helpers.core.records import GenerationRecord
from t2v_helpers.course import pages
from t2v_helpers.course.rendering import render
from t2v_helpers.machine.device import Peak
from t2v_helpers.machine.probe import resident_bytes

OUTPUTS = "outputs"
CELL_SECONDS, LONGEST_CELL = 1800, 7 * 24 * 3600
START_SECONDS = 300  # a kernel on a busy machine
MOST_AT_ONCE = 64
POLL_SECONDS = 0.2
_INDEX, _RESULTS = "<title>Text to video: what the course made</title>", '"notebooks": ['  # in each index and run.json


@dataclass(frozen=True)
class Result:
    """What became of a notebook: code cells, seconds, the kernel's peak memory, and its page or else its error."""

    notebook: str
    cells: int
    seconds: float
    peak_memory_mib: float
    page: str
    error: str = ""

    def __str__(self) -> str:
        if self.error:
            return f"FAILED {self.notebook}, {self.error}"
        cost = f"{self.seconds:.1f} s, {self.peak_memory_mib:.0f} MiB"
        return f"ok     {self.notebook}: {cost}, code cells: {self.cells}"


def find_notebooks(folder: str | Path, names: Sequence[str] = ()) -> list[Path]:
    """The notebooks of `folder` in the order of their numbers, or those whose name starts with one of `names`.

    Errors: FileNotFoundError: no such folder or no notebook in it; ValueError: a name that fits none.
    """
    found = sorted(Path(folder).glob("*.ipynb")) if is_folder(folder) else []
    if not found:
        raise FileNotFoundError(f"{named(folder)} holds no notebook: run this from the root of the course.")
    for name in names:
        if not any(path.stem.startswith(name) for path in found):
            known = ", ".join(path.stem for path in found)
            raise ValueError(f"no notebook starts with {checking.shown(name)}: there are {known}.")
    return [path for path in found if not names or path.stem.startswith(tuple(names))]


def outputs_folder(given: str | Path | None = None) -> Path:
    """Where pages and videos go: `given`, else $T2V_OUTPUTS, else ./outputs."""
    return Path(given or os.environ.get("T2V_OUTPUTS") or OUTPUTS)


def run(
    folder: str | Path = "notebooks",
    outputs: str | Path | None = None,
    names: Sequence[str] = (),
    cell_seconds: int = CELL_SECONDS,
    report: Callable[[str], object] = tqdm.write,
    at_once: int | None = None,
) -> list[Result]:
    """Execute the notebooks of `folder`; leave NAME.html, the videos, index.html and run.json in `outputs`.

    The notebook files are not changed. outputs: see `outputs_folder`. cell_seconds: the longest that a cell may take.
    report: called with one line for each notebook. at_once: how many run side by side (None: see `most_at_once`).
    Errors, before any cell runs: those of `find_notebooks`; OSError where `outputs` cannot be written; ValueError where
    a file there has the name of one of these, but is something else. A notebook's own failure is in its Result.
    """
    outputs, notebooks = outputs_folder(outputs).absolute(), find_notebooks(folder, names)
    own = {"index.html": _INDEX, "run.json": _RESULTS} | {f"{path.stem}.html": pages.MARK for path in notebooks}
    for name, mark in own.items():
        check_target(outputs / name)
        _check_own(outputs / name, mark)
    outputs.mkdir(parents=True, exist_ok=True)
    with _held() as stopped:
        results = _run_all(notebooks, _Way(outputs, cell_seconds, report, stopped), at_once or most_at_once())
    write_text(outputs / "index.html", index_page(results, outputs))
    write_text(outputs / "run.json", as_json(results))
    return results


def _check_own(path: Path, mark: str) -> None:
    """ValueError for a file that a run would replace, but did not write: it lacks what such a file always holds."""
    if path.exists() and mark.encode() not in path.read_bytes():
        raise ValueError(f"{named(path)} is no file of `t2v run`, which would replace it: move it away.")


def as_json(results: Sequence[Result]) -> str:
    """The results as the text of run.json: {"notebooks": [...]}."""
    return json.dumps({"notebooks": [asdict(result) for result in results]}, indent=2) + "\n"


def most_at_once() -> int:
    """How many notebooks run side by side: two, or one on a GPU, whose memory is not shared, or on a single core."""
    return 1 if torch.cuda.is_available() else min(2, os.cpu_count() or 1)


class _Way(NamedTuple):
    """How notebooks are run. stopped: the signals that came."""

    outputs: Path
    cell_seconds: int
    report: Callable[[str], object]
    stopped: list[int]


def _run_all(notebooks: Sequence[Path], way: _Way, at_once: int) -> list[Result]:
    """The results, in the order of the notebooks. Those that run alone are first, so that no core waits in between."""
    cores, results = os.cpu_count() or 1, []
    for alone, group in groupby(sorted(notebooks, key=_alone, reverse=True), _alone):
        kernels = 1 if alone else at_once
        with ThreadPoolExecutor(kernels) as pool:
            results += pool.map(partial(_run_one, way, max(1, cores // kernels)), group)
    return sorted(results, key=lambda result: result.notebook)


def _alone(path: Path) -> bool:
    """Whether a notebook asks to run alone. One that cannot be read does not."""
    try:
        return bool(_read(path).metadata.get("t2v", {}).get("alone"))
    except (ValueError, OSError):
        return False


def _run_one(way: _Way, threads: int, path: Path) -> Result:
    if way.stopped:
        raise KeyboardInterrupt
    result = _result(way, threads, path)
    way.report(str(result))
    return result


def _result(way: _Way, threads: int, path: Path) -> Result:
    outputs, cell_seconds, _, stopped = way
    page = outputs / f"{path.stem}.html"
    page.unlink(missing_ok=True)  # do not leave the page of an older run
    try:
        notebook = _read(path)
    except (ValueError, OSError) as unread:
        return Result(path.stem, 0, 0.0, 0.0, "", str(unread))
    total = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    began, error, client = time.perf_counter(), "", _client(notebook, path.parent, cell_seconds)
    bar = tqdm(total=total, desc=path.stem, unit="cell", leave=False)
    env = {"T2V_HEADLESS": "1", "OMP_NUM_THREADS": str(threads), **os.environ, "T2V_OUTPUTS": str(outputs)}
    with bar, _watched(client) as peak:
        client.on_cell_executed = lambda **_: bar.update()
        try:
            _execute(client, env, stopped)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as failure:
            error = f"cell {client.code_cells_executed} of {total}: {_reason(failure, cell_seconds)}"
    if stopped:
        raise KeyboardInterrupt
    seconds = round(time.perf_counter() - began, 1)
    if not error:
        write_text(page, pages.page(notebook))
    return Result(path.stem, total, seconds, round(peak.mib, 1), "" if error else page.name, error)


def _read(path: Path) -> nbformat.NotebookNode:
    """The notebook of a file. ValueError naming it; OSError."""
    if not path.is_file():  # a pipe would never end
        raise ValueError(f"{path.name} is not a file: move it away.")
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, nbformat.ValidationError) as error:
        why = str(error).splitlines()[0][:100]
        raise ValueError(f"{path.name} is not a notebook ({why}): get it again, or remove it.") from error
    return notebook


def _client(notebook: nbformat.NotebookNode, folder: Path, cell_seconds: int) -> NotebookClient:
    client = NotebookClient(
        notebook,
        timeout=cell_seconds,
        startup_timeout=START_SECONDS,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # hide the kernel's notes on its sockets
        resources={"metadata": {"path": str(folder.absolute())}},
    )
    client.create_kernel_manager().kernel_spec_manager.kernel_dirs = []  # this Python, whatever a cluster calls python3
    return client


@contextmanager
def _held() -> Iterator[list[int]]:
    """The signals that came inside the block, where Ctrl-C raises nothing: no kernel that starts is forgotten."""
    came, handled = [], (signal.SIGINT, signal.SIGTERM)
    here = threading.current_thread() is threading.main_thread()
    raising = [name for name in handled if here and signal.getsignal(name) is signal.default_int_handler]
    for name in raising:
        signal.signal(name, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        for name in raising:
            signal.signal(name, signal.default_int_handler)


def _execute(client: NotebookClient, env: dict[str, str], stopped: list[int]) -> None:
    """Run the cells, and kill the kernel as soon as there is something in `stopped`.

    In a thread: in the main one nbclient would answer Ctrl-C itself, with its own traceback.
    """

    def work():
        with client.setup_kernel(cleanup_kc=False, env=env):  # after a failed start execute() alone would trip at exit
            client.execute()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        while wait([done], POLL_SECONDS).not_done:
            if stopped and (pid := _pid(client)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    if not stopped:
        done.result()


def _pid(client: NotebookClient) -> int | None:
    """The kernel's process; None before it starts and after its end."""
    return getattr(getattr(client.km, "provisioner", None), "pid", None)


@contextmanager
def _watched(client: NotebookClient) -> Iterator[Peak]:
    """The kernel's peak memory inside the block, polled from outside: a notebook may reset its own count."""
    peak, done = Peak(0.0), threading.Event()

    def watch():
        while not done.wait(POLL_SECONDS):
            pid = _pid(client)
            peak.mib = max(peak.mib, resident_bytes(pid) / 2**20 if pid else 0.0)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _reason(failure: Exception, cell_seconds: int) -> str:
    if isinstance(failure, CellExecutionError):
        return f"{failure.ename}: {failure.evalue}".splitlines()[0]
    if isinstance(failure, CellTimeoutError):
        return f"took longer than {cell_seconds} s"
    return "the kernel died (out of memory?)"


def index_page(results: Sequence[Result], outputs: Path) -> str:
    """The index as HTML: a table of the notebooks, then every mp4 below `outputs` with its prompt and settings."""
    paths = sorted(outputs.rglob("*.mp4"))
    videos = [(path.relative_to(outputs).as_posix(), path.stem, _caption(path)) for path in paths]
    return render("index.html", results=results, videos=videos)


def _caption(path: Path) -> str:
    """What was asked for a video: from its record, or "" without one."""
    if not path.with_suffix(".json").is_file():
        return ""
    try:
        spec = GenerationRecord.load(path).spec
    except ValueError as error:  # another program's file is no reason to lose the index
        return str(error)
    return f"{spec.prompt} ({spec.scheduler}, {spec.steps} steps, guidance {spec.guidance:g}, seed {spec.seed})"


def main(argv: Sequence[str] | None = None) -> int:
    """`t2v run`: returns 1 where a cell failed. Errors: see `run`."""
    p = arguments.Parser(prog="t2v run", description="Run every notebook; leave pages, videos and an index.")
    p.add_argument("names", nargs="*", help="only the notebooks whose names start like this: 00 02")
    p.add_argument("--notebooks", default="notebooks", help="the folder of the notebooks (%(default)s)")
    p.add_argument("--outputs", type=arguments.path, help="where the pages go (outputs, or what T2V_OUTPUTS says)")
    longest = "the longest that a cell may take, a whole number (%(default)s)"
    p.add_argument("--cell-seconds", type=arguments.whole(LONGEST_CELL), default=CELL_SECONDS, help=longest)
    side = "how many run side by side, a whole number (2 on a CPU of two cores or more, else 1)"
    p.add_argument("--at-once", type=arguments.whole(MOST_AT_ONCE), metavar="N", help=side)
    p.add_argument("--json", action="store_true", help="print the results as JSON")
    options = p.parse_args(argv)
    say = (lambda line: None) if options.json else tqdm.write
    outputs = outputs_folder(options.outputs)
    results = run(options.notebooks, outputs, options.names, options.cell_seconds, say, options.at_once)
    if options.json:
        print(as_json(results), end="")
    say(f"index  {outputs / 'index.html'}")
    failed = [result for result in results if result.error]
    for result in failed:
        print(f"t2v run: failed in {result.notebook}, {result.error}", file=sys.stderr)
    return 1 if failed else 0
