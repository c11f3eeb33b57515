"""No room opens a file by itself: a pipe in the place of one would keep whoever reads it waiting."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2v_helpers.core import files, records, video
from t2v_helpers.core.paths import PACKAGE
from t2v_helpers.course import costs, preflight
from t2v_helpers.course.blog import ledger, originals
from t2v_helpers.model import sweep
from t2v_helpers.studies.from_scratch import STUDY
from t2v_helpers.training import data, loop, progress

OPENS = {"open", "safe_open", "read_text", "read_bytes", "load_file", "VideoCapture"}
MAY_OPEN = {  # each after a look at what is there
    "core/files.py",  # the door
    "core/tensors.py",
    "core/video.py",
    "course/dry_run/folder.py",  # to write
    "course/run.py",  # its own pages of before
    "machine/probe.py",  # the system's own files
    "model/sweep.py",
    "training/progress.py",
}


def opened(path: Path) -> Iterator[str]:
    """What a module calls to open files, other than by the door."""
    for call in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)):
        name, of = getattr(call.func, "attr", getattr(call.func, "id", "")), getattr(call.func, "value", None)
        if name in OPENS and getattr(of, "id", "") not in ("files", "os") and not (name == "read_text" and of is None):
            yield name


def test_files_are_opened_in_few_places_that_look_first():
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if any(opened(path))}
    assert found == MAY_OPEN


READERS = {
    "text": lambda path: files.read_text(path / "pipe"),
    "json": lambda path: files.read_json(path / "pipe"),
    "record": lambda path: records.GenerationRecord.load(path / "pipe.json"),
    "film": lambda path: video.read_mp4(path / "pipe"),
    "whole film": lambda path: video.is_whole(path / "pipe"),
    "table of a sweep": lambda path: next(sweep.rows(path / "pipe")),
    "table of a study": lambda path: STUDY.load(path / "pipe"),
    "log": lambda path: list(progress.logged(path, ["unet"])),
    "latents": lambda path: data.Clips.load(path / "pipe"),
    "checkpoint": lambda path: loop._read(path / "pipe"),
    "ledger": lambda path: ledger.read(path / "pipe"),
    "run": lambda path: costs.read_run(path / "pipe"),
    "seat": lambda path: preflight.collect(path),
    "the blog's films": lambda path: originals.given_folder(str(path / "pipe"), path),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_pipe_in_the_place_of_a_file_or_a_folder_is_refused(tmp_path, read):
    (tmp_path / "unet").mkdir()
    for name in ("pipe", "pipe.json", "unet/log.jsonl"):
        os.mkfifo(tmp_path / name)
    with pytest.raises((ValueError, OSError), match="not a file|is a device or a pipe"):
        read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_training_that_cannot_log_does_not_begin(tmp_path):
    (tmp_path / "toy").mkdir()
    os.mkfifo(tmp_path / "toy" / progress.LOG)
    with pytest.raises(FileExistsError, match="log.jsonl is a device or a pipe"):
        progress.follow(type("Task", (), {"name": "toy", "steps": 1}), tmp_path, None)
