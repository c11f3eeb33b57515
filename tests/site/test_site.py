"""The site's pages: their words stand where the glossary says, and what was built asks nobody for anything."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import site_pages  # noqa: E402

SITE = ROOT / "site"
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRY = re.compile(r"^(\S.*)\n   (.+) \[\d\d: .+\]\((notebooks/\w+\.ipynb)#([\w-]+)\)$", re.M)
ENTRIES = ENTRY.findall(GLOSSARY)
FETCHED = re.compile(
    r"""<(?:script|img|video|source|iframe|link)\b[^>]*?\b(?:src|href|poster)=["'](?:https?:)?//[^"']+"""
)
STYLED = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])(?:https?:)?//[^)"']+""")


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def sections(path: Path) -> dict[str, str]:
    """The slug of each heading -> what stands below it, up to the next, in one line of small letters."""
    text = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    parts = re.split(r"^#+ (.+)$", text, flags=re.M)[1:]
    titles, bodies = parts[::2], parts[1::2]
    return {slug(t): " ".join(f"{t} {b}".replace("*", "").lower().split()) for t, b in zip(titles, bodies, strict=True)}


@pytest.fixture(scope="module")
def built() -> list[Path]:
    found = sorted(SITE.rglob("*.html"))
    if not found:
        pytest.skip("there is no site: `make site` builds it")
    return found


def notebook(number: str) -> dict:
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return site_pages.prepared(json.loads(path.read_text(encoding="utf-8")), path.stem)


@pytest.mark.parametrize("term, meaning, path, anchor", ENTRIES, ids=[entry[0] for entry in ENTRIES])
def test_a_word_of_the_glossary_stands_where_its_link_leads(term, meaning, path, anchor):
    there = sections(ROOT / path)
    assert term.lower() in there[anchor]


def test_each_entry_of_the_glossary_is_one_sentence_and_they_are_in_order():
    terms = [entry[0].lower() for entry in ENTRIES]
    assert terms == sorted(terms) and len(set(terms)) == len(terms) == GLOSSARY.count("ipynb#")
    assert all(meaning.endswith(".") and not re.search(r"[.?!] [A-Z]", meaning) for _, meaning, _, _ in ENTRIES)


@pytest.mark.parametrize("path", site_pages.NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_can_be_downloaded_folds_its_checks_and_names_its_words(path):
    cells = site_pages.prepared(json.loads(path.read_text(encoding="utf-8")), path.stem)["cells"]
    first, last = ("".join(cells[i]["source"]) for i in (0, -1))
    assert f"<{path.name}>" in first and "minutes core]{.minutes .core}" in first
    assert "{term}`" in last or not any(path.name in entry[2] for entry in ENTRIES)
    tags = [cell["metadata"].get("tags", []) for cell in cells]
    assert tags.count(["hide-cell"]) == tags.count(["hide-input"]) == tags.count(["exercise"]) >= 3


def test_no_mark_of_minutes_is_left_as_text():
    text = "".join("".join(cell["source"]) for cell in notebook("02")["cells"] if cell["cell_type"] == "markdown")
    assert "[Core, 5 minutes]{.minutes .core}" in text and "minutes.*" not in text


def test_a_solution_follows_the_check_of_its_exercise():
    cells = notebook("01")["cells"]
    check = next(i for i, cell in enumerate(cells) if "check_01_2(" in "".join(cell["source"]))
    assert cells[check + 1]["source"] == (ROOT / "notebooks/solutions/01_2.py").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("path", site_pages.NOTEBOOKS, ids=lambda path: path.stem)
def test_a_prepared_notebook_is_a_valid_one(path):
    made = site_pages.prepared(json.loads(path.read_text(encoding="utf-8")), path.stem)
    assert faults(made) == []
    assert faults(made | {"cells": [{**made["cells"][0], "cell_type": "remark"}]}) != []


def faults(notebook):
    return list(nbformat.validator.iter_validate(nbformat.from_dict(notebook)))


def test_pictures_say_what_they_show():
    pictures = [cell for cell in notebook("01")["cells"] if site_pages.description(cell)]
    assert pictures and all(cell["metadata"]["mystnb"]["image"]["alt"] for cell in pictures)


def test_nothing_in_the_built_site_is_fetched_from_elsewhere(built):
    # The live page is UTF-16, and its parts may hold any letters.
    pages = {page: FETCHED.findall(page.read_text(encoding="utf-8")) for page in built if page.name != "live.html"}
    styles = {css: STYLED.findall(css.read_text(encoding="utf-8")) for css in SITE.rglob("*.css")}
    assert {path: found for path, found in {**pages, **styles}.items() if found} == {}
    assert FETCHED.search('<script defer src="https://x.org/a.js">') and STYLED.search("url(//x.org/a.woff2)")


def test_the_built_site_has_every_notebook_and_its_download(built):
    names = {path.stem for path in site_pages.NOTEBOOKS}
    assert names <= {page.stem for page in built}
    assert names == {path.stem for path in (SITE / "_downloads").rglob("*.ipynb")}


def test_the_workflow_builds_looks_and_deploys_with_no_more_rights_than_pages_needs():
    workflow = yaml.load((ROOT / ".github/workflows/site.yml").read_text(), yaml.BaseLoader)  # "on" stays a word
    build, deploy = workflow["jobs"]["build"], workflow["jobs"]["deploy"]
    assert workflow["permissions"] == {"contents": "read"} and "permissions" not in build
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"} and deploy["needs"] == "build"
    made = [step["run"] for step in build["steps"] if "run" in step]
    assert made == ["make page", "make site", "make browser"]
    assert set(workflow["on"]) == {"workflow_dispatch", "push"}
