"""What a notebook costs goes from the run into the table, and from the table to the reader, unchanged."""

import json

import pytest

from t2v_helpers.course import costs

RESULT = {"notebook": "00_start_here", "cells": 20, "seconds": 90.0, "peak_memory_mib": 1536.0, "error": ""}


def write_run(path, *results):
    path.write_text(json.dumps({"notebooks": list(results)}))
    return path


@pytest.fixture
def table(tmp_path):
    return costs.record(write_run(tmp_path / "run.json", RESULT), "cartoon", tmp_path / "table.json")


def test_the_numbers_of_a_run_are_copied(table):
    (cost,) = costs.load(table)["cartoon"]["notebooks"].values()
    assert cost == {"cells": 20, "seconds": 90.0, "peak_memory_mib": 1536.0}
    assert costs.load(table)["cartoon"]["machine"]["threads"] >= 1
    assert "make run ARGS='--at-once 1' && t2v costs" in json.loads(table.read_text())["command"]


def test_a_run_of_one_notebook_leaves_the_others_and_the_other_scale(table, tmp_path):
    other = RESULT | {"notebook": "02_basic_generation", "seconds": 30.0}
    costs.record(write_run(tmp_path / "run.json", other), "cartoon", table)
    costs.record(write_run(tmp_path / "run.json", other), "modelscope", table)
    found = costs.load(table)
    assert list(found["cartoon"]["notebooks"]) == ["00_start_here", "02_basic_generation"]
    assert list(found["modelscope"]["notebooks"]) == ["02_basic_generation"]


def test_the_line_says_what_was_measured_and_what_was_not(table, tmp_path):
    line = costs.line("00_start_here", table)
    assert "1.5 minutes and 1.5 GiB with cartoon on" in line and "modelscope not measured yet" in line
    costs.record(write_run(tmp_path / "run.json", RESULT | {"seconds": 180.0}), "modelscope", table)
    assert "3.0 minutes and 1.5 GiB with modelscope" in costs.line("00_start_here", table)
    assert costs.line("77_other", table).count("not measured yet") == 2
    assert costs.line("00_start_here", tmp_path / "none.json").count("not measured yet") == 2


def test_the_readme_gets_a_row_for_each_notebook(table, tmp_path):
    for name, title in (("00_start_here", "# Can I?"), ("02_more", "# How?")):
        cells = [{"cell_type": "markdown", "source": [f"{title}\n", "words"]}]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    rows = costs.readme_table(table, tmp_path).splitlines()[2:]
    assert rows[0] == "| [00_start_here](notebooks/00_start_here.ipynb) | Can I? | 1.5 | 1.5 GiB |"
    assert "| How? | not measured | not measured |" in rows[1]


def test_only_what_stands_between_the_marks_is_changed(table, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{costs.BEGIN}\nold\n{costs.END}\nafter\n")
    costs.write_readme(readme, table)
    text = readme.read_text()
    assert text.startswith(f"before\n{costs.BEGIN}\n| notebook |")
    assert text.endswith(f"{costs.END}\nafter\n") and "old" not in text
    costs.write_readme(readme, table)
    assert readme.read_text() == text


@pytest.mark.parametrize("text", ["no marks", costs.BEGIN])
def test_a_readme_without_marks_is_refused(table, tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(ValueError, match=f"lacks the marks {costs.BEGIN}"):
        costs.write_readme(tmp_path / "README.md", table)
    assert (tmp_path / "README.md").read_text() == text


def test_what_was_not_run_is_a_list_that_names_the_commands():
    bullets = [line for line in costs.not_run_here().splitlines() if not line.startswith(" ")]
    assert len(bullets) >= 8 and all(line.startswith("- ") for line in bullets)
    assert all(command in costs.not_run_here() for command in ("make dry-run", "t2v info", "T2V_MODEL=modelscope"))


def test_a_run_that_failed_is_refused(tmp_path):
    run = write_run(tmp_path / "run.json", RESULT | {"error": "cell 3 of 20: ValueError"})
    with pytest.raises(ValueError, match="failed notebooks .00_start_here."):
        costs.record(run, "cartoon", tmp_path / "table.json")
    assert not (tmp_path / "table.json").exists()


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the notebooks first, with `make run`"):
        costs.record(tmp_path / "run.json", "cartoon", tmp_path / "table.json")
    with pytest.raises(FileNotFoundError, match="make it with `make run` and `t2v costs`"):
        costs.load(tmp_path / "table.json")
    with pytest.raises(ValueError, match="model='big' is unknown"):
        costs.record(tmp_path / "run.json", "big", tmp_path / "table.json")


def test_the_command_needs_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="run.json does not exist"):
        costs.main(["--run", str(tmp_path / "run.json")])
