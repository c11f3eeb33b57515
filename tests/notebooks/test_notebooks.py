"""What every committed notebook must be like as a file. That it runs, and gives these outputs, is nbval's to say."""

import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
MOST_BYTES = 1 << 20
NOT_COMPARED = "nbval-ignore-output"
PERSONAL = re.compile(r"(?<![\w.])(?:/(?:home|root|Users|tmp|work|mnt|opt)/|[A-Z]:\\+Users\\+)[\w.-]+")
ON_SUBJECT = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def code_cells(path: Path) -> list:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(path: Path) -> list:
    return [output for cell in code_cells(path) for output in cell.outputs]


def without_pictures(path: Path) -> str:
    return re.sub(r'"[A-Za-z0-9+/=\\n]{200,}"|base64,[A-Za-z0-9+/=\\n]+', '""', path.read_text(encoding="utf-8"))


def test_there_are_notebooks():
    assert {"00_start_here", "02_basic_generation"} <= {path.stem for path in NOTEBOOKS}


@ON_SUBJECT
def test_it_was_run_from_top_to_bottom_in_one_go(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@ON_SUBJECT
def test_it_is_at_most_1_mib(path):
    assert path.stat().st_size <= MOST_BYTES


@ON_SUBJECT
def test_no_output_is_an_error_that_no_tag_announces(path):
    failed = [
        cell.source
        for cell in code_cells(path)
        if "raises-exception" not in cell.metadata.get("tags", [])
        and any(output.output_type == "error" for output in cell.outputs)
    ]
    assert failed == []


@ON_SUBJECT
def test_it_carries_no_path_of_one_machine(path):
    assert PERSONAL.findall(without_pictures(path)) == []


@ON_SUBJECT
def test_the_reader_sees_no_warnings(path):
    texts = ["".join(output.get("text", "")) for output in outputs(path) if output.get("name") == "stderr"]
    assert [text for text in texts if "Warning" in text or "warning" in text] == []


@ON_SUBJECT
def test_it_was_run_on_a_machine_with_nothing_to_mend(path):
    assert not any("To mend" in "".join(output.get("text", "")) for output in outputs(path))


@ON_SUBJECT
def test_it_shows_pictures_and_names_the_usual_kernel(path):
    assert any("image/png" in output.get("data", {}) for output in outputs(path))
    assert nbformat.read(path, as_version=4).metadata.kernelspec.name == "python3"


@ON_SUBJECT
def test_the_model_is_chosen_in_the_first_code_cell(path):
    assert 'MODEL = os.environ.get("T2V_MODEL", "cartoon")' in code_cells(path)[0].source


@ON_SUBJECT
def test_most_outputs_are_compared(path):
    """A cell may ask not to be compared (a time, a machine), but a notebook that asks it everywhere tests nothing."""
    cells = [cell for cell in code_cells(path) if cell.outputs]
    ignored = [cell for cell in cells if NOT_COMPARED in cell.metadata.get("tags", []) or "NBVAL_" in cell.source]
    assert len(ignored) <= len(cells) / 4


@ON_SUBJECT
def test_it_is_whole_json_with_unix_line_ends(path):
    raw = path.read_bytes()
    assert b"\r" not in raw and raw.endswith(b"\n")
    assert json.loads(raw)["nbformat"] == 4


@pytest.mark.parametrize("text", ["/home/ann/x.py", "/root/a", "see '/tmp/pip-1'", r"C:\\Users\\ann"])
def test_paths_of_one_machine_are_recognised(text):
    assert PERSONAL.search(text)


@pytest.mark.parametrize("text", ["outputs/a.mp4", "https://a.org/home/b", "/kaggle", "src/tmp/x", "../tmp/x"])
def test_other_paths_are_left_alone(text):
    assert not PERSONAL.search(text)
