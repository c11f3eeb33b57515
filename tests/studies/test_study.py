"""Studies: a table is resumed where it was stopped, is whole after each row, and is never mistaken for another."""

import json
import re

import pytest

from t2v_helpers import cli
from t2v_helpers.model import loading
from t2v_helpers.studies import study

STUDIES = study.studies()
GROWING = {"from_scratch"}  # made row by row; notebook 08 says of what is missing that it is not measured yet


def row(_, seed):
    return {"seed": seed, "prompt": "", "found": {"square": seed**2}}


def toy(row_of=row, **changes) -> study.Study:
    """A study of three rows, squares unless told otherwise."""
    declared = {
        "name": "toy", "asks": "What is the square?", "file": "toy.jsonl", "seeds": 3, "minutes": 0.5, "judged": False,
        "head": lambda pipe: {"base": 2}, "row": row_of, "summary": lambda rows: f"{len(rows)} squares",
    }  # fmt: skip
    return study.Study(**declared | changes)


HEAD = {"command": "t2v study toy", "weights": loading.weights_of("cartoon"), "base": 2}


def test_rows_are_added_in_the_order_of_seeds_and_none_is_made_twice(tmp_path):
    table, made = tmp_path / "table.jsonl", []
    squares = toy(lambda pipe, seed: made.append(seed) or row(pipe, seed))
    for seeds in ([2], [0, 1, 2]):
        assert squares.make(None, seeds, table) == table
    assert made == [2, 0, 1]
    assert squares.about(table) == HEAD and squares.load(table) == [row(None, seed) for seed in range(3)]


def test_what_was_done_stays_when_a_later_row_fails(tmp_path):
    table = tmp_path / "table.jsonl"
    with pytest.raises(ZeroDivisionError):
        toy(lambda pipe, seed: row(pipe, 1 // seed)).make(None, [1, 0], table)
    assert toy().load(table) == [row(None, 1)]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "line 1 of .* is damaged"),
        ("", "is not a table"),
        ("[]", "line 1 of .* is damaged"),
        ("{}", "is not a table of `t2v study toy`"),
        (json.dumps(HEAD) + "\n{}", "line 2 of .* is not a row"),
        (json.dumps(HEAD) + '\n{"seed": 0, "prompt": "", "found": 3}', "line 2 of .* is not a row"),
        (json.dumps(HEAD) + '\n{"seed": 0, "pro', "line 2 of .* is damaged"),
        (json.dumps(HEAD | {"weights": "others"}), "others"),
        (json.dumps(HEAD | {"base": 3}), "its base is 3, and here it is 2"),
        (json.dumps(HEAD | {"also": 3}), "its also is 3, and here it is None"),
    ],
)
def test_another_table_is_refused_and_left_alone(tmp_path, text, word):
    table = tmp_path / "table.jsonl"
    table.write_text(text)
    with pytest.raises(ValueError, match=word):
        toy().make(None, [0], table)
    assert table.read_text() == text


def test_no_table_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="`t2v study toy`"):
        toy().load(tmp_path / "none.jsonl")


def test_weights_are_identified_by_a_hash(tmp_path):
    assert len(loading.weights_of("cartoon")) == 64
    assert loading.weights_of("modelscope") == loading.REVISION
    with pytest.raises(FileNotFoundError, match="manifest"):
        loading.weights_of(tmp_path)


@pytest.mark.parametrize("name", STUDIES)
def test_the_committed_table_is_whole_and_of_the_shipped_weights(name):
    one = STUDIES[name]
    head = one.about()
    assert head["command"] == one.command and head["weights"] == loading.weights_of("cartoon"), (
        "the weights changed: make it again"
    )
    settings = one.head(loading.load("cartoon", quiet=True))
    assert settings | {"machine": ""} == {key: head.get(key, "") for key in settings} | {"machine": ""}
    seeds = [found["seed"] for found in one.load()]
    assert seeds == list(range(len(seeds) if name in GROWING else one.seeds)) and seeds


def test_all_tables_can_be_made_in_a_sitting():
    assert sum(one.minutes for one in STUDIES.values()) <= 90


# --- what studies need


def test_cells_are_those_of_the_rows_that_have_them():
    rows = [{"found": {"a": {"1": 5}}}, {"found": {"a": {"2": 6}}}, {"seed": 3}]
    assert study.cells(rows, "found", "a", 1) == [5]
    for place, said in (
        (("found", "a", 3), "no 3 in found a: it has 1"),
        (("found", "b", 3), "no 'b' in found: it has a"),
        (("order",), "no 'order': it has found"),
    ):
        with pytest.raises(ValueError, match=f"the table has {said}"):
            study.cells(rows, *place)
    with pytest.raises(ValueError, match="no 'a' in found: it has no rows"):
        study.cells([], "found", "a")


def test_a_new_python_finds_the_package_or_says_why_not():
    assert study.in_new_python("import sys, t2v_helpers; print(sys.argv[1])", "word") == "word\n"
    with pytest.raises(ChildProcessError, match="ValueError: no"):
        study.in_new_python("raise ValueError('no')")


# --- the command


@pytest.fixture
def one_study(monkeypatch, tmp_path):
    """`t2v study` knows the toy alone, with a table of its own folder and no pipeline."""
    monkeypatch.setattr(study, "studies", lambda: {"toy": toy()})
    monkeypatch.setattr(study.paths, "BENCHMARKS", tmp_path)
    monkeypatch.setattr(loading, "load", lambda *words, **_: None)
    return tmp_path / "toy.jsonl"


def test_the_command_resumes_a_study_and_prints_its_summary(one_study, tmp_path, capsys):
    assert study.main(["toy", "--seeds", "2"]) == 0 and capsys.readouterr().out == "2 squares\n"
    assert study.main(["all"]) == 0 and capsys.readouterr().out == "3 squares\n"
    assert toy().load(one_study) == [row(None, seed) for seed in range(3)]
    assert study.main(["toy", "--table", str(tmp_path / "other.jsonl"), "--seeds", "1"]) == 0
    assert len(toy().load(tmp_path / "other.jsonl")) == 1


def test_alone_it_lists_what_each_study_asks_rows_and_minutes(one_study, capsys):
    study.main(["toy", "--seeds", "2"])
    capsys.readouterr()
    assert study.main([]) == 0
    found = capsys.readouterr().out.splitlines()[1]
    assert re.split(" {2,}", found) == ["toy", "What is the square?", "2 of 3", "0.5"]


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["knobs", "--seeds", "33"], "--seeds=33"),
        (["knobs", "--seeds", "0"], "--seeds"),
        (["knobs", "--table", ""], "--table"),
        (["all", "--table", "x.jsonl"], "--table"),
        (["knops"], "invalid choice"),
        (["knobs", "--model", "modelscope"], "model='modelscope'"),
        (["speedups", "--model", "nothing"], "model='nothing'"),
    ],
)
def test_bad_words_end_in_one_sentence(words, word, capsys):
    try:
        status = cli.main(["study", *words])
    except SystemExit as left:
        status = left.code
    err = capsys.readouterr().err
    assert status == 2 and word in err and err.count("\n") == 1


def test_too_little_memory_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setenv("T2V_MEMORY", "1MiB")
    assert cli.main(["study", "knobs"]) == 2
    assert "memory=1 MiB is too little" in capsys.readouterr().err


def test_a_model_of_another_world_is_refused(hub_folder):
    for model in ("modelscope", str(hub_folder)):
        with pytest.raises(ValueError, match="not of the cartoon world"):
            study.cartoon_pipeline(model, "cpu")
