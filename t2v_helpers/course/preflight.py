"""`t2v preflight`: is this seat ready for a lesson? In about a minute, and without a network.

Packages and GPU are `t2v info`'s own findings. Then three trials: a Jupyter kernel starts and imports the course, the
model makes a video, and a browser plays it. Each trial gives what it found, or a Problem with its fix.
"""

import base64
import json
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from t2v_helpers.core import arguments, files, tables
from t2v_helpers.course import rendering
from t2v_helpers.course.run import outputs_folder
from t2v_helpers.machine import doctor
from t2v_helpers.machine.doctor import Problem

SLOW = 20.0  # seconds for one video; above it, a lesson waits for the machine
PROMPT = "a robot is dancing in times square"
BROWSERS = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser", "microsoft-edge")
PAGE = "preflight.html"
COLUMNS = ("seat", "ready", "kernel", "video", "seconds", "browser", "gpu")


def seat(name: str = "", outputs: Path | None = None) -> dict:
    """What is ready at this seat: the COLUMNS, and "problems", each {"what", "fix"}. All values are plain."""
    found, page = doctor.look(), outputs_folder(outputs) / PAGE
    row = dict.fromkeys(COLUMNS, "not tried") | {"seat": name or platform.node(), "gpu": found.device_name or "none"}
    problems = list(found.problems)
    trials = {"kernel": try_kernel, "video": lambda: try_video(page), "browser": lambda: play(page)}
    for trial, call in ({} if problems else trials).items():
        began, said = time.perf_counter(), call()
        row[trial] = "no" if isinstance(said, Problem) else said
        row |= {"seconds": round(time.perf_counter() - began, 1)} if trial == "video" else {}
        problems += [said] if isinstance(said, Problem) else []
    return row | {"ready": "no" if problems else "yes", "problems": [vars(problem) for problem in problems]}


def try_kernel() -> str | Problem:
    """Whether Jupyter's kernel "python3" starts and has the course: "yes", or what is wrong."""
    cells = [nbformat.v4.new_code_cell("import t2v_helpers.model.loading, t2v_helpers.show.playground")]
    quiet = ["--log-level=ERROR"]  # ipykernel warns of TCP, on which Jupyter relies
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", extra_arguments=quiet)
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError, KeyError, RuntimeError) as error:  # NoSuchKernel is a KeyError
        what = f"the kernel of the notebooks does not start: {str(error).strip().splitlines()[-1]}"
        return Problem(what, "start Jupyter with `make lab`, or: python -m ipykernel install --user --name python3")
    return "yes"


def try_video(page: Path) -> str | Problem:
    """Make a video, and beside it the page that plays it: "h264", or what is wrong."""
    from t2v_helpers.core import video
    from t2v_helpers.core.records import GenerationSpec
    from t2v_helpers.model import generate, loading

    began = time.perf_counter()
    try:
        made = generate.generate(loading.load("cartoon", offline=True), GenerationSpec(PROMPT, seed=1234))
        mp4 = video.mp4_bytes(made.frames, scale=4)
    except (ValueError, OSError, MemoryError, ImportError) as error:
        what, again = f"no video was made: {files.reason(error)}", "remove .venv, then `make setup`"
        return Problem(what, f"install the course again: {again}")
    source = base64.b64encode(mp4).decode()
    try:
        files.write_text(page, rendering.render(PAGE, prompt=PROMPT, source=source))
    except OSError as error:
        fix = "go to a folder that you may write, or name one: T2V_OUTPUTS=..."
        return Problem(f"{page} cannot be written: {files.reason(error)}", fix)
    if (seconds := time.perf_counter() - began) > SLOW:
        return Problem(f"a video took {seconds:.0f} s", "close other programs; on battery, plug in; or share a seat")
    return "h264"


def play(page: Path) -> str | Problem:
    """Whether a browser that can be started unseen plays the page's video: its name, or "see PAGE" without one."""
    browser = next(filter(shutil.which, BROWSERS), None)
    if not browser or not page.is_file():
        return f"see {page}"
    with tempfile.TemporaryDirectory() as profile:
        words = ["--headless", "--no-sandbox", f"--user-data-dir={profile}", "--virtual-time-budget=10000"]
        words += ["--dump-dom", page.resolve().as_uri()]
        try:
            dom = subprocess.run([browser, *words], capture_output=True, text=True, timeout=60).stdout
        except (OSError, subprocess.TimeoutExpired):
            return f"see {page}"
    if 'data-plays="yes"' in dom:
        return browser
    return Problem(f"{browser} does not play H.264", "use Firefox, Chrome, Edge or Safari")


def text(row: dict) -> str:
    """A seat as a person reads it."""
    return "\n".join([*(f"{name:<8} {row[name]}" for name in COLUMNS), *_to_mend(row)])


def _to_mend(row: dict) -> list[str]:
    return [f"{row['seat']}: {one['what']}\n  -> {one['fix']}" for one in row["problems"]]


def collect(folder: Path) -> str:
    """The teacher's table of all seats' lines in `folder`, which others wrote: each of its words stays in one line.

    ValueError: no file, or one that holds another thing.
    """
    rows = [row for path in sorted(folder.glob("*.json")) for row in _rows(path)]
    if not rows:
        raise ValueError(
            f"{files.named(folder)} holds no .json file: let each seat write one, `t2v preflight --json > NAME.json`."
        )
    table = tables.aligned([COLUMNS, *([row[column] for column in COLUMNS] for row in rows)])
    ready = f"{sum(row['ready'] == 'yes' for row in rows)} of {len(rows)} seats are ready."
    return "\n".join([table, "", ready, *(line for row in rows for line in _to_mend(row))])


def _rows(path: Path) -> list[dict]:
    try:
        rows = [files.parse_json(line) for line in files.read_text(path).splitlines() if line.strip()]
        return [{column: _plain(row[column]) for column in COLUMNS} | {"problems": _problems(row)} for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        why, where = files.reason(error), files.named(path)
        raise ValueError(f"{where} is no line of `t2v preflight --json` ({why}): run it again there.") from error


def _problems(row: dict) -> list[dict[str, str]]:
    return [{key: _plain(one[key]) for key in ("what", "fix")} for one in row["problems"]]


def _plain(value: str | float) -> str:
    return arguments.brief(str(value))


def main(argv: Sequence[str] | None = None) -> int:
    """`t2v preflight`. Status 1 where something is to be mended. Errors: see `collect`."""
    p = arguments.Parser(prog="t2v preflight", description="Is this seat ready for a lesson?")
    p.add_argument("--seat", default="", help="its name in the table (the machine's)")
    p.add_argument("--json", action="store_true", help="print one line of JSON, for --collect")
    p.add_argument("--collect", type=arguments.path, metavar="FOLDER", help="print the table of all seats' lines")
    options = p.parse_args(argv)
    if options.collect:
        print(collect(options.collect))
        return 0
    row = seat(options.seat)
    print(json.dumps(row) if options.json else text(row))
    return 0 if row["ready"] == "yes" else 1
