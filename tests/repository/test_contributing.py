"""CONTRIBUTING's map is the package as it is on disk, and its list of first files leads to files."""

import re
from pathlib import Path

import pytest

from t2v_helpers.core.paths import PACKAGE, ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TREE = re.search(r"```text\nt2v_helpers/\n(.*?)```", TEXT, re.S).group(1).splitlines()


def listed() -> dict[str, str]:
    """Each path of the tree, below the package, and what is said of it; a folder ends in a slash."""
    found, folders = {}, []
    for line in TREE:
        indent, name, words = re.fullmatch(r"((?:  )+)(\S+) +(\S.*)", line).groups()
        folders[len(indent) // 2 - 1 :] = [name]
        found["".join(folders)] = words
    return found


def on_disk() -> set[str]:
    modules = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    folders = {f"{path.parent.as_posix()}/" for path in modules if path.name == "__init__.py"} - {"./"}
    return folders | {path.as_posix() for path in modules if path.name != "__init__.py"}


def test_the_map_has_every_file_and_no_other():
    assert set(listed()) == on_disk()


@pytest.mark.parametrize("path, words", listed().items(), ids=list(listed()))
def test_it_says_each_file_in_about_five_words(path, words):
    assert 2 <= len(words.split()) <= 7


def test_its_rooms_stand_in_the_order_of_imports():
    contract = re.findall(r'"t2v_helpers\.([a-z]\w+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = [re.sub(r"\.py$|/$", "", path) for path in listed() if re.fullmatch(r"\w+/|\w+\.py", path)]
    assert rooms == contract[::-1]


def test_the_first_files_are_there():
    named = re.findall(r"`((?:t2v_helpers|tests|notebooks|\.github)/[\w./-]+)`", TEXT)
    there = [Path(ROOT, name) for name in named if "NN" not in name and "..." not in name]
    assert len(there) >= 10 and [str(path) for path in there if not path.exists()] == []
