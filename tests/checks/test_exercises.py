"""Every exercise of every notebook: the solution passes, the stub fails, wrong answers fail with a helpful word.

An exercise is a code cell tagged `exercise` (the stub), and the k-th of them belongs to the k-th cell tagged `check`,
whose last line is a `checks.check_NN_k(...)`. Solutions stand in notebooks/solutions/NN_k.py, wrong answers in
notebooks/solutions/wrong/NN_k_what.py, with a first line `# helpful word: ...` that the verdict has to hold.
All of them run with nothing before them but PRELUDE.
"""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from t2v_helpers.checks import Verdict

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOLUTIONS = NOTEBOOKS / "solutions"
PRELUDE = """
import torch
from t2v_helpers import cartoon, checks
from t2v_helpers.core.records import GenerationSpec
"""


def tagged(path: Path, tag: str) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if tag in cell.metadata.get("tags", [])]


def exercises() -> dict[str, tuple[str, str]]:
    """`NN_k` -> (the stub, the check), over all notebooks."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        stubs, checks = tagged(path, "exercise"), tagged(path, "check")
        assert len(stubs) == len(checks), f"{path.name}: {len(stubs)} exercises, but {len(checks)} checks"
        found |= {f"{path.name[:2]}_{k}": pair for k, pair in enumerate(zip(stubs, checks, strict=True), 1)}
    return found


EXERCISES = exercises()
WRONG = sorted((SOLUTIONS / "wrong").glob("*.py"))


def number(path: Path) -> str:
    return "_".join(path.stem.split("_")[:2])


def verdict_on(answer: str, check: str) -> Verdict:
    """Run the answer, then its check as a notebook would: the value of the cell's last line."""
    namespace = {}
    exec(PRELUDE + answer, namespace)  # the answers are this repository's own files
    *lines, last = ast.parse(check).body
    exec(compile(ast.Module(lines, []), "check", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "check", "eval"), namespace)


def test_there_are_exercises_and_each_has_a_solution_and_a_wrong_answer():
    solved = {path.stem for path in SOLUTIONS.glob("*.py")}
    assert EXERCISES and set(EXERCISES) == solved == {number(path) for path in WRONG}


@pytest.mark.parametrize("name", EXERCISES)
def test_the_cells_name_their_own_solution_and_check(name):
    stub, check = EXERCISES[name]
    assert f"# %load solutions/{name}.py" in stub and f"check_{name}(" in check


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_passes(name):
    verdict = verdict_on((SOLUTIONS / f"{name}.py").read_text(), EXERCISES[name][1])
    assert verdict.ok, verdict.word


@pytest.mark.parametrize("name", EXERCISES)
def test_the_stub_runs_and_fails(name):
    verdict = verdict_on(*EXERCISES[name])
    assert isinstance(verdict, Verdict) and not verdict.ok


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_answer_fails_with_a_helpful_word(path):
    answer = path.read_text()
    word = re.match(r"# helpful word: (.+)\n", answer).group(1)
    stub, check = EXERCISES[number(path)]
    verdict = verdict_on(answer, check)
    assert not verdict.ok and word in verdict.word
    assert verdict.word != verdict_on(stub, check).word, "the word is the one that an untouched stub gets, too"
