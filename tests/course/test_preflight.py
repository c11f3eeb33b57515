"""preflight: a seat's line, the trials that fail, and the teacher's table."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from t2v_helpers import cli
from t2v_helpers.core import video
from t2v_helpers.course import preflight
from t2v_helpers.machine.doctor import Problem

ROW = {"seat": "a1", "ready": "yes", "kernel": "yes", "video": "h264", "seconds": 3.2, "browser": "chromium",
       "gpu": "none", "problems": []}  # fmt: skip
MACHINE = SimpleNamespace(problems=[], device_name="")
BROWSER = next(filter(shutil.which, preflight.BROWSERS), None)


def rows(tmp_path, *lines: dict):
    for k, line in enumerate(lines):
        (tmp_path / f"{k}.json").write_text(json.dumps(line) + "\n")
    return tmp_path


def test_a_seat_where_packages_are_wrong_tries_nothing(monkeypatch, tmp_path):
    wrong = SimpleNamespace(problems=[Problem("torch is missing", "pip install torch")], device_name="")
    monkeypatch.setattr(preflight.doctor, "look", lambda: wrong)
    row = preflight.seat("a1", tmp_path)
    assert (row["seat"], row["ready"], row["kernel"], row["video"]) == ("a1", "no", "not tried", "not tried")
    assert row["problems"] == [{"what": "torch is missing", "fix": "pip install torch"}] and not [*tmp_path.iterdir()]
    assert "a1: torch is missing\n  -> pip install torch" in preflight.text(row)


def test_what_a_trial_finds_wrong_is_in_the_line(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight.doctor, "look", lambda: MACHINE)
    monkeypatch.setattr(preflight, "try_kernel", lambda: Problem("no kernel", "make lab"))
    monkeypatch.setattr(preflight, "try_video", lambda page: "h264")
    monkeypatch.setattr(preflight, "play", lambda page: "firefox")
    row = preflight.seat("a1", tmp_path)
    assert json.loads(json.dumps(row)) == row and set(preflight.COLUMNS) < set(row)
    assert (row["kernel"], row["video"], row["browser"], row["ready"]) == ("no", "h264", "firefox", "no")


def test_a_kernel_that_is_not_there_is_a_problem(monkeypatch):
    client = preflight.NotebookClient
    monkeypatch.setattr(preflight, "NotebookClient", lambda *a, **k: client(*a, **k | {"kernel_name": "no-such-one"}))
    found = preflight.try_kernel()
    assert "no-such-one" in found.what and "make lab" in found.fix


def test_the_video_is_made_and_its_page_holds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "SLOW", 600)
    assert preflight.try_video(tmp_path / "p.html") == "h264"
    assert 'src="data:video/mp4;base64,' in (tmp_path / "p.html").read_text()
    monkeypatch.setattr(preflight, "SLOW", 0)
    assert "a video took" in preflight.try_video(tmp_path / "p.html").what


@pytest.mark.skipif(not BROWSER, reason="needs Chromium, Chrome or Edge")
@pytest.mark.parametrize("whole", [True, False])
def test_a_browser_says_whether_it_plays(tmp_path, whole):
    mp4 = video.mp4_bytes(np.zeros((4, 64, 64, 3), np.uint8))[: None if whole else 100]
    source = preflight.base64.b64encode(mp4).decode()
    (tmp_path / "p.html").write_text(preflight.rendering.render("preflight.html", prompt="x", source=source))
    found = preflight.play(tmp_path / "p.html")
    assert found == BROWSER if whole else BROWSER in found.what


def test_without_a_browser_that_can_be_started_the_page_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "BROWSERS", ())
    assert preflight.play(tmp_path / "p.html") == f"see {tmp_path / 'p.html'}"


def test_the_teachers_table(tmp_path):
    broken = ROW | {"seat": "b7", "ready": "no", "kernel": "no", "problems": [{"what": "no kernel", "fix": "make lab"}]}
    lines = preflight.collect(rows(tmp_path, ROW, broken)).splitlines()
    assert lines[0].split() == [*preflight.COLUMNS] and lines[1].split()[:2] == ["a1", "yes"]
    assert "1 of 2 seats are ready." in lines and lines[-2:] == ["b7: no kernel", "  -> make lab"]


def test_what_a_seat_wrote_cannot_move_the_teachers_cursor(tmp_path):
    evil = ROW | {"seat": "a\n9 of 9 seats are ready.", "problems": [{"what": "\x1b[2Jgone", "fix": "x" * 5000}]}
    table = preflight.collect(rows(tmp_path, evil))
    assert table.isascii() and "\x1b" not in table and len(table.splitlines()) == 6 and len(table) < 5000


def test_a_folder_that_cannot_be_written_is_a_problem_of_the_seat(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "SLOW", 600)
    (tmp_path / "outputs").write_text("a file")
    found = preflight.try_video(tmp_path / "outputs" / "p.html")
    assert "outputs" in found.what and "cannot be written" in found.what and "T2V_OUTPUTS" in found.fix


@pytest.mark.parametrize("line", ["{}", "[1]", '{"seat": "a1"'])
def test_a_file_that_no_seat_wrote_is_named(tmp_path, line, capsys):
    (tmp_path / "x.json").write_text(line)
    assert cli.main(["preflight", "--collect", str(tmp_path)]) == 2
    assert str(tmp_path / "x.json") in capsys.readouterr().err


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="--json"):
        preflight.collect(tmp_path)
