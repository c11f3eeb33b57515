"""The whole run in Pythons of its own, and the command."""

import json
from pathlib import Path

import pytest
import torch

from t2v_helpers.course.dry_run import command, folder, report
from t2v_helpers.machine import probe
from t2v_helpers.model import loading

GIB = 2**30


@pytest.mark.timeout(900)  # on a machine that may have other work
def test_the_whole_run_holds(ran):
    assert [check for check in ran["checks"] if not check["holds"]] == []
    assert [row["what"] for row in ran["memory"]] == ["load", "step", "decode", "one set, held", "4 sets, held"]
    assert json.loads(json.dumps(ran)) == ran
    assert "[1, 2, 64, 64, 3]" in ran["text"] and "NO " not in ran["text"]


def test_four_pipelines_hold_four_sets_of_weights(ran, whole):
    parameters = sum(p.numel() for part in loading.skeleton(whole.snapshot).values() for p in part.parameters())
    found = {check["what"]: check["found"] for check in ran["checks"]}
    assert found["all parameters are there"] == f"{parameters:,}"
    assert found["both ways arrive at the same latents"] == "off by at most 0.0e+00"


def test_too_little_memory_is_said_before_a_stage(whole, monkeypatch):
    monkeypatch.setattr(probe, "memory_bytes", lambda: (GIB // 2, GIB // 2))
    with pytest.raises(MemoryError, match=r"'step' .*0\.8 GiB .*0\.5"):
        command.run(whole, "float32", frames=1, pixels=64)


def test_bfloat16_is_taken_where_the_cpu_has_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "name": "x"}, raising=False)
    assert command.auto_dtype() == "bfloat16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "bf16_note": "x"}, raising=False)
    assert command.auto_dtype() == "float32"


# --- the command


def test_the_command_leaves_the_report_and_says_whether_all_holds(ran, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(command, "run", lambda *given: asked.append(given) or dict(ran))
    out = tmp_path / "deep" / "dry_run.json"
    call = ["--out", str(out), "--folder", str(tmp_path / "w"), "--frames", "2", "--dtype", "float32"]
    assert command.main(call) == 0
    assert json.loads(out.read_text())["checks"] == ran["checks"]
    assert asked == [(folder.Cache(tmp_path / "w"), "float32", 2)]
    broken = [check | {"holds": False} for check in ran["checks"][:1]]
    monkeypatch.setattr(command, "run", lambda *given: ran | {"checks": broken})
    assert command.main(call) == 1
    assert "does not hold: all parameters are there" in capsys.readouterr().err


def test_a_failed_stage_ends_the_command_with_1(tmp_path, monkeypatch, capsys):
    def fails(*given):
        raise RuntimeError("the stage 'step' failed")

    monkeypatch.setattr(command, "run", fails)
    assert command.main(["--out", str(tmp_path / "x.json")]) == 1
    assert capsys.readouterr().err == "t2v dry-run: the stage 'step' failed\n"


@pytest.mark.parametrize("words_, said", [
    (["--dtype", "float16"], "invalid choice: 'float16'"),
    (["--frames", "17"], "'17' is not allowed: give a whole number from 1 to 16"),
])  # fmt: skip
def test_bad_words_are_refused(words_, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(words_)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name, held, said", [
    ("x.txt", None, "does not end in .json: give the file that ending"),
    ("thesis.json", '{"title": "mine"}', "would replace a file that is not a dry run's report"),
    ("notes.json", "[1]", "would replace a file that is not a dry run's report"),
    ("cut.json", "{", "would replace a file that is not a dry run's report"),
])  # fmt: skip
def test_a_report_takes_no_other_files_place(tmp_path, monkeypatch, name, held, said):
    monkeypatch.setattr(command, "run", lambda *given: pytest.fail("it ran before --out was looked at"))
    if held:
        (tmp_path / name).write_text(held)
    with pytest.raises(ValueError, match=said):
        command.main(["--out", str(tmp_path / name)])
    assert [path.read_text() for path in tmp_path.iterdir()] == [held] * bool(held)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(command, "run", lambda *given: pytest.fail("it ran before --out was looked at"))
    with pytest.raises(PermissionError, match="/proc may not be written to"):
        command.main(["--out", "/proc/x.json"])


def test_a_report_may_take_an_older_ones_place(tmp_path):
    out = tmp_path / "x.json"
    out.write_text(json.dumps(report.to_dict({}, report.Parts({}, {}, {}), [], [])))
    command._check_out(out)
