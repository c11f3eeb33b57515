"""Tables of JSON lines that take hours: a head that says how they were made, then a line for each seed.

A table goes on where it was stopped, and is written whole after each line. It belongs to one command, one set of
weights and one setting: a table with another head is refused and left alone.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from tqdm import tqdm

from t2v_helpers.core import files
from t2v_helpers.model import loading


def make(table: Path, head: dict, seeds: Iterable[int], line: Callable[[int], dict], what: str) -> Path:
    """Add line(seed), a dict with "seed", "prompt" and "found", for every seed that the table lacks.

    head: a dict with "command" and "weights". what: the word beside the progress bar.
    Errors: ValueError (the table of another head, or no such table); those of `files.check_target`.
    """
    files.check_target(table)
    about, *lines = read(table, head["command"]) if table.exists() else [head]
    if about != head:
        raise ValueError(f"{table} was measured with {about}, and this is {head}: move it away to begin anew.")
    done = {found["seed"] for found in lines}
    for seed in tqdm([seed for seed in seeds if seed not in done], desc=what, unit="seed"):
        lines = sorted([*lines, line(seed)], key=lambda found: found["seed"])
        files.write_text(table, "\n".join(map(json.dumps, [head, *lines])) + "\n")
    return table


def read(table: Path, command: str) -> list[dict]:
    """The head, and the lines of the seeds. Errors: FileNotFoundError (not made yet), ValueError (no such table)."""
    if not table.exists():
        raise FileNotFoundError(f"{table} does not exist: make it with `{command}`, which takes hours.")
    texts = table.read_text(encoding="utf-8").splitlines()
    head, *lines = [_line(table, n, text) for n, text in enumerate(texts, 1)] or [{}]
    if "weights" not in head:
        raise ValueError(f"{table} is no table of `{command}`: give another name.")
    for n, line in enumerate(lines, 2):
        if not {"seed", "prompt", "found"} <= line.keys() or not isinstance(line["found"], dict):
            raise ValueError(f"line {n} of {table} is not of a seed: delete that line, and go on with `{command}`.")
    return [head, *lines]


def _line(table: Path, n: int, text: str) -> dict:
    """Line n of a table. ValueError: it is no JSON object."""
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        how = "delete that line, and its seed is made again" if n > 1 else "give another name"
        raise ValueError(f"line {n} of {table} is damaged ({error}): {how}.") from error


def weights(model: str | Path = "cartoon") -> str:
    """What tells a model's weights from others: SHA-256 of its folder's manifest, or the revision on the hub.

    FileNotFoundError: the folder has no manifest.
    """
    if model == "modelscope":
        return loading.REVISION
    path = (loading.CARTOON if model == "cartoon" else Path(model)) / files.MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, and it names the weights: files.write_manifest makes it.")
    return files.sha256(path)
