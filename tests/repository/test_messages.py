"""A message is a sentence of a few lines, whatever a file holds: names, keys and values of 10 kB are told in short."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from t2v_helpers.core import checking, files, tensors
from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.course import costs, preflight
from t2v_helpers.course.blog import ledger
from t2v_helpers.inside import unet_config
from t2v_helpers.model import folders, sweep
from t2v_helpers.model.folders import manifests
from t2v_helpers.studies import knobs, study

MOST = 1500  # characters: two values and two paths, and what is allowed
LONG = "x" * 10_000
VALUES = [LONG, "\n" * 10_000, "\U0001f98a" * 10_000, [[LONG] * 9] * 2, {LONG: LONG}, 10**4000]
SPEC = GenerationSpec("a dog is dancing", guidance=4.0, height=64, width=64)
RECORD = asdict(GenerationRecord(SPEC, "cartoon", "float32", "cpu", {"torch": "2"}, 1.5, 100.0, "00" * 32))
MANIFEST = {"model": "cartoon", "weights": ""} | sweep._asked([SPEC])


def changed(table: dict) -> list[dict]:
    """The table with each value in turn replaced by each of the long ones, and with a long key."""
    tables = [table | {key: value} for key in table for value in VALUES]
    return [*tables, table | {LONG: LONG}, *({key: x for key, x in table.items() if key != each} for each in table)]


def message(ask) -> str:
    """What is said, or "" where nothing is wrong. Another error than these is a fault."""
    try:
        ask()
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def check_all(asks) -> None:
    said = [text for text in map(message, asks) if text]
    assert said and not [text for text in said if len(text) > MOST or len(text.splitlines()) > 1]


def written(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_the_manifest_of_a_sweep(tmp_path):
    for table in changed(MANIFEST):
        written(tmp_path / sweep.MANIFEST, table)
        check_all([lambda: sweep._check_folder(tmp_path, MANIFEST | {"order": "another"})])


def test_the_record_of_a_sweep_and_of_a_video(tmp_path):
    for name in ("00000.mp4", "00000.png"):
        written(tmp_path / name, "x")
    specs = [RECORD | {"spec": spec} for spec in changed(RECORD["spec"])]
    for record in [*changed(RECORD), *specs]:
        path = written(tmp_path / "00000.json", record)
        check_all([lambda: sweep._check_done(tmp_path, [SPEC], MANIFEST)])
        assert len(message(lambda path=path: GenerationRecord.load(path))) < MOST


def test_the_table_of_a_study(tmp_path):
    head = {"command": knobs.STUDY.command, "weights": "another", "steps": 4}
    one = study.Study("knobs", "?", "t.jsonl", 1, 1, lambda pipe: {}, lambda pipe, seed: {}, str)
    for table in changed(head):
        path = written(tmp_path / "t.jsonl", table)
        check_all([lambda path=path: one.make(None, [], path)])
    with pytest.raises(ValueError, match="the table has no") as caught:
        study.cells([{"found": {LONG: 1}}], "found", "steps")
    assert len(str(caught.value)) < MOST


def test_what_a_run_left(tmp_path):
    failed = [{"notebook": value, "error": value} for value in VALUES] * 9
    check_all([
        lambda: costs.record(written(tmp_path / "run.json", {"notebooks": failed}), "cartoon", tmp_path / "t.json"),
        lambda: ledger.read(written(tmp_path / "ledger.json", {"rows": [{LONG: LONG}]})),
        lambda: preflight.collect(written(tmp_path / "seat.json", {LONG: LONG}).parent),
    ])  # fmt: skip


def test_a_folder_of_weights(tmp_path):
    entry = {"bytes": 1, "sha256": "0"}
    lists = [{f"../{LONG}": entry}, {LONG: entry}, *({"a": entry | {"bytes": value}} for value in VALUES)]
    for listed in lists:
        written(tmp_path / manifests.MANIFEST, {"files": listed})
        check_all([lambda: manifests.check(tmp_path)])
    save_file({LONG: torch.zeros(1)}, tmp_path / "w.safetensors")
    paths = [tmp_path / "w.safetensors"]
    check_all([lambda: tensors.read(paths, {"w": torch.zeros(1)}), lambda: tensors.find(paths * 2)])
    check_all([lambda: tensors.read(paths, {})])


@pytest.mark.parametrize("kind", folders.KINDS.values(), ids=list(folders.KINDS))
def test_the_config_of_a_part(tmp_path, kind):
    tables = [{key: value} for key in kind.rules for value in VALUES]
    check_all([lambda table=table: unet_config.check(table, kind.rules, kind.rules) for table in tables])
    check_all([lambda: folders.known({next(iter(kind.rules)): LONG}, kind, tmp_path / LONG)])
    check_all([lambda: unet_config.check_config({LONG: LONG})])


def test_a_path_of_many_folders():
    path = Path("/".join(["x" * 250] * 15))
    check_all([
        lambda: files.check_target(path), lambda: files.read_json(path), lambda: files.existing(path, "look"),
        lambda: tensors.about(path), lambda: folders.kinds(path), lambda: checking.room_on_disk(path, 2**60, "a film"),
    ])  # fmt: skip
