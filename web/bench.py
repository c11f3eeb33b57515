"""Prints how long the live page takes in Chromium, and PyTorch for the same video, one thread each.

python web/bench.py [page.html]
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which reads it once

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import loading
from t2v_helpers.model.generate import generate

WEB = Path(__file__).resolve().parent
ROWS = {  # what web/test/bench.js measures -> its words, and the bar
    "megabytes": ("size of the page, MB", 40),
    "page": ("the page is there, ms", None),
    "ready": ("noise moves, from opening, ms", None),
    "firstVideo": ("first video, from opening, ms", 8000),
    "movingNoise": ("noise moves, from pressing, ms", 1000),
    "firstGuess": ("first guess, from pressing, ms", None),
    "nextVideo": ("next video, from pressing, ms", 1500),
    "drawing": ("between two drawings meanwhile, ms", 17),
}


def in_browser(page: Path) -> dict[str, float]:
    """What web/test/bench.js measures. SystemExit: no node, no chromium, or no page."""
    node, chromium = shutil.which("node"), shutil.which("chromium") or shutil.which("google-chrome")
    if not node or not chromium:
        sys.exit("page-bench needs node and chromium: install both.")
    if not page.is_file():
        sys.exit(f"{page} is not there: `make page` makes it.")
    command = [node, WEB / "test" / "bench.js", page, chromium]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def in_torch() -> float:
    """Milliseconds of the page's first video, a student's, in PyTorch, the second time."""
    pipe = loading.load("cartoon", device="cpu", dtype="float32", quiet=True, fast=True)
    spec = GenerationSpec("A Robot is dancing in the Times Square", **loading.sampling(pipe), guidance=1.0, seed=1234)
    for _ in range(2):
        began = time.perf_counter()
        generate(pipe, spec)
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Measure and print one line each."""
    found = in_browser(Path(sys.argv[1]) if len(sys.argv) > 1 else WEB.parent / "outputs" / "live.html")
    for name, (words, bar) in ROWS.items():
        print(f"{words:34} {found[name]:8g}" + (f"   bar {bar}" if bar else ""))
    print(f"{'the same video in PyTorch, ms':34} {in_torch():8.0f}")


if __name__ == "__main__":
    main()
