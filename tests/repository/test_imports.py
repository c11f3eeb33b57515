"""The house: a room imports from the rooms below it alone, guests stay in theirs, and importing the package is free."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2v_helpers.core.paths import PACKAGE, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
LAYERS = [layer.removeprefix("t2v_helpers.") for layer in LINTER["contracts"][0]["layers"]]
EVERYWHERE = {"torch", "numpy", "tqdm"}
GUESTS = {  # a library -> the only rooms it may enter
    "IPython": {"show"},
    "PIL": {"core"},
    "accelerate": {"model"},
    "cv2": {"cartoon", "core", "metrics"},
    "diffusers": {"diffusion", "inside", "model", "training"},
    "huggingface_hub": {"model"},
    "imageio_ffmpeg": {"core"},
    "ipywidgets": {"show"},
    "jinja2": {"course"},
    "latex2mathml": {"course"},
    "matplotlib": {"show"},
    "nbclient": {"course"},
    "nbconvert": {"course"},
    "nbformat": {"course"},
    "packaging": {"machine"},
    "peft": {"model"},
    "psutil": {"machine"},
    "safetensors": {"cartoon", "core", "model", "training"},
    "scipy": {"checks", "metrics", "studies"},
    "tokenizers": {"cartoon"},
    "transformers": {"cartoon", "metrics", "model", "training"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """The room of a file, "" for the package's top."""
    first, *rest = path.relative_to(PACKAGE).parts
    return first if rest else ""


def guests(source: str) -> Iterator[str]:
    """The top names of what a module imports from outside the package and the standard library, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if (top := name.partition(".")[0]) not in {"t2v_helpers", *EVERYWHERE, *sys.stdlib_module_names}:
                yield top


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_guests_stay_in_their_rooms(path):
    strangers = [g for g in guests(path.read_text(encoding="utf-8")) if room(path) not in GUESTS.get(g, ())]
    assert strangers == []


def test_every_guest_is_invited_where_it_is_and_nowhere_else():
    seen = {(guest, room(path)) for path in FILES for guest in guests(path.read_text(encoding="utf-8"))}
    assert seen == {(guest, where) for guest, rooms in GUESTS.items() for where in rooms}


def test_the_contract_names_every_room():
    rooms = {room(path) for path in FILES} - {""}
    assert set(LAYERS) == rooms | {"cli"}


def test_no_room_is_crowded():
    for where in {path.parent for path in FILES}:
        found = [path.name for path in FILES if path.parent == where]
        assert len(found) <= (4 if where == PACKAGE else 13), (where.name, found)


def test_each_room_says_its_question_and_where_to_start():
    for where in set(LAYERS) - {"cli"}:
        text = ast.get_docstring(ast.parse((PACKAGE / where / "__init__.py").read_text(encoding="utf-8")))
        assert text.splitlines()[0].endswith("?") and "Imports:" in text and "Start reading:" in text, where


def linted(package: Path) -> subprocess.CompletedProcess:
    """What the contract says of a package of the same name."""
    command = [
        str(Path(sys.executable).with_name("lint-imports")),
        "--no-cache",
        "--config",
        str(ROOT / "pyproject.toml"),
    ]
    return subprocess.run(command, cwd=package.parent, capture_output=True, text=True)


def test_an_import_that_goes_up_is_named(tmp_path):
    package = tmp_path / "t2v_helpers"
    for layer in LAYERS:
        where = package / f"{layer}.py" if layer == "cli" else package / layer / "__init__.py"
        where.parent.mkdir(parents=True, exist_ok=True)
        where.touch()
    (package / "__init__.py").touch()
    assert linted(package).returncode == 0
    (package / "core" / "files.py").write_text("def late():\n    from t2v_helpers.course import run\n")
    (package / "course" / "run.py").touch()
    found = linted(package)
    assert found.returncode == 1 and "t2v_helpers.core.files -> t2v_helpers.course.run (l.2)" in found.stdout


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_loads_nothing_from_outside():
    code = "import sys; before = set(sys.modules); import t2v_helpers; print(*sorted(set(sys.modules) - before))"
    assert python(code).split() == ["t2v_helpers"]


def test_importing_the_package_takes_less_than_a_tenth_of_a_second():
    code = "import time; start = time.perf_counter(); import t2v_helpers; print(time.perf_counter() - start)"
    assert min(float(python(code)) for _ in range(3)) < 0.1
