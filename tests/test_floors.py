"""The house: imports go down a floor, guests stay in their rooms, and importing the package costs nothing."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import t2v_helpers

PACKAGE = Path(t2v_helpers.__file__).parent
EVERYWHERE = {"torch", "numpy"}
VERBS_AND_ROOF = {"tqdm": 3}  # a library -> the lowest floor that may show progress
GUESTS = {  # a library -> the only rooms it may enter
    "IPython": {"display", "playground"},
    "PIL": {"video", "display"},
    "accelerate": {"sweep"},
    "cv2": {"cartoon", "video", "metrics"},
    "diffusers": {"attention", "dataset", "distilling", "generate", "models", "pipeline", "recipe", "schedulers",
                  "swapping", "temporal"},
    "huggingface_hub": {"hub", "models"},
    "imageio": {"video"},
    "imageio_ffmpeg": {"video"},
    "ipywidgets": {"playground"},
    "latex2mathml": {"pages"},
    "matplotlib": {"diagrams", "display"},
    "nbclient": {"course"},
    "nbconvert": {"pages"},
    "nbformat": {"course", "pages"},
    "packaging": {"environment"},
    "peft": {"lora"},
    "psutil": {"environment", "machine"},
    "safetensors": {"cartoon", "checkpoints", "dataset", "folders", "lora", "metrics", "swapping", "training"},
    "scipy": {"metrics"},
    "tokenizers": {"words"},
    "transformers": {"contrastive", "metrics", "models", "recipe", "swapping", "words"},
}


def floors(text: str) -> dict[str, int]:
    """The floor of each room, read from the floor map: lines such as "floor 0  ground   layout seeding"."""
    rows = re.findall(r"^\s*floor (\d)  .*?   +(.+)$", text, re.M)
    pairs = [(room, int(floor)) for floor, rooms in rows for room in rooms.split()]
    assert len(pairs) == len(dict(pairs)), f"a room stands twice in the map: {pairs}"
    return dict(pairs)


def room(path: Path) -> str:
    """The room a file belongs to: its module, or its subpackage."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """Every dotted name that a module imports anywhere in it: from a import b gives a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def faults(here: str, source: str, floor: dict[str, int]) -> list[str]:
    """What the imports in `source`, a file of the room `here`, do against the rule of the house."""
    if here not in floor:
        return [f"{here} has no floor: name it in the map of t2v_helpers/__init__.py"]
    found = []
    for name in imported(source):
        top, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if top == "":
            found.append(f"{here} imports {name}: name the package in full")
        elif top == "t2v_helpers" and other in floor and other != here and floor[other] >= floor[here]:
            found.append(f"{here} (floor {floor[here]}) imports {other} (floor {floor[other]})")
        elif top in VERBS_AND_ROOF and floor[here] < VERBS_AND_ROOF[top]:
            found.append(f"{here} (floor {floor[here]}) imports {top}, which is for floor {VERBS_AND_ROOF[top]} and up")
        elif not _known(top) or here not in GUESTS.get(top, {here}):
            found.append(f"{here} imports {top}, which is no guest there")
    return found


def _known(top: str) -> bool:
    return top in {"t2v_helpers", *EVERYWHERE, *VERBS_AND_ROOF, *GUESTS, *sys.stdlib_module_names}


FLOOR = floors(t2v_helpers.__doc__)
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_the_floor_map_names_every_room_and_no_other():
    assert set(FLOOR) == {room(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_keep_the_rule_of_the_house(path):
    assert faults(room(path), path.read_text(encoding="utf-8"), FLOOR) == []


@pytest.mark.parametrize(
    "here, line, fault",
    [
        ("muon", "from t2v_helpers import records", "muon (floor 1) imports records (floor 1)"),
        ("muon", "from t2v_helpers.models import load", "muon (floor 1) imports models (floor 2)"),
        ("muon", "def f():\n    import t2v_helpers.cli", "muon (floor 1) imports cli (floor 4)"),
        ("noise", "from . import layout", "noise imports ..layout: name the package in full"),
        ("noise", "import diffusers.utils", "noise imports diffusers, which is no guest there"),
        ("noise", "import requests", "noise imports requests, which is no guest there"),
        ("muon", "import tqdm", "muon (floor 1) imports tqdm, which is for floor 3 and up"),
        ("attic", "", "attic has no floor: name it in the map of t2v_helpers/__init__.py"),
    ],
)
def test_a_fault_is_seen(here, line, fault):
    assert faults(here, line, FLOOR) == [fault]


@pytest.mark.parametrize("line", ["import math, torch", "from t2v_helpers import __version__, layout", "import tqdm"])
def test_what_is_allowed_is_no_fault(line):
    assert faults("generate", line, FLOOR) == []


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_loads_nothing_from_outside():
    code = "import sys; before = set(sys.modules); import t2v_helpers; print(*sorted(set(sys.modules) - before))"
    assert python(code).split() == ["t2v_helpers"]


def test_importing_the_package_takes_less_than_a_tenth_of_a_second():
    code = "import time; start = time.perf_counter(); import t2v_helpers; print(time.perf_counter() - start)"
    assert min(float(python(code)) for _ in range(3)) < 0.1
