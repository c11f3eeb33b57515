"""tables: a table goes on where it was stopped, is written whole after each line, and is never taken for another."""

import json

import pytest

from t2v_helpers.model import loading
from t2v_helpers.studies import study

HEAD = {"command": "python -m toy", "weights": "w"}


def line(seed):
    return {"seed": seed, "prompt": "", "found": {"square": seed**2}}


def test_lines_are_added_in_the_order_of_seeds_and_none_is_made_twice(tmp_path):
    table, made = tmp_path / "table.jsonl", []
    for seeds in ([2], [0, 1, 2]):
        study.make(table, HEAD, seeds, lambda seed: made.append(seed) or line(seed), "toy")
    assert made == [2, 0, 1]
    assert study.read(table, "toy") == [HEAD, *map(line, range(3))]


def test_what_was_done_stays_when_a_later_line_fails(tmp_path):
    table = tmp_path / "table.jsonl"
    with pytest.raises(ZeroDivisionError):
        study.make(table, HEAD, [1, 0], lambda seed: line(1 // seed), "toy")
    assert study.read(table, "toy") == [HEAD, line(1)]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "line 1 of .* is damaged .*: give another name"),
        ("", "is no table"),
        ("[]", "is no table of `python -m toy`"),
        (json.dumps(HEAD) + "\n{}", "line 2 of .* is not of a seed: delete that line"),
        (json.dumps(HEAD) + '\n{"seed": 0, "prompt": "", "found": 3}', "line 2 of .* is not of a seed"),
        (json.dumps(HEAD) + '\n{"seed": 0, "pro', "line 2 of .* is damaged .*: delete that line"),
        (json.dumps(HEAD | {"weights": "v"}), "move it away to begin anew"),
    ],
)
def test_another_table_is_refused_and_left_alone(tmp_path, text, word):
    table = tmp_path / "table.jsonl"
    table.write_text(text)
    with pytest.raises(ValueError, match=word):
        study.make(table, HEAD, [0], line, "toy")
    assert table.read_text() == text


def test_no_table_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="make it with `python -m toy`"):
        study.read(tmp_path / "none.jsonl", HEAD["command"])


def test_the_weights_are_told_by_a_hash():
    assert len(study.weights()) == 64
    assert study.weights("modelscope") == loading.REVISION
