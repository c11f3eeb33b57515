"""What the site adds to a notebook: minutes, a download, folded checks and solutions, the words it explains."""

import json
import re
import shutil
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LIVE = ROOT / "outputs/live.html"  # the model in one page, once `make page` wrote it
BUTTON = '<p><a class="sd-btn sd-btn-primary" href="live.html">Type a sentence, and watch it become a video</a></p>'
LEFT_OUT = (".*", "node_modules", "templates", "task.md")  # of the folders that are copied here
KIT = """
```{toctree}
:hidden:
:glob:

plans/*
notes/*
quiz
Capstone <capstone/README>
troubleshooting
```
"""  # the workshop's pages
ELSEWHERE = {  # where links of the repository lead on the site
    "(../docs/": "(../",
    "(notes/)": "(notes/00.md)",
    "(../t2v_helpers/cartoon/DATA_CARD.md)": "(data_card.md)",
    "(../t2v_helpers/weights/MODEL_CARD.md)": "(model_card.md)",
}
MARK = re.compile(r"\*(Core|Optional), (\d+ minutes?)\.\*")
WHOLE = re.compile(r"\*Core, \d+ minutes?\. The whole notebook: (\d+) minutes core, (\d+) optional\.\*")
TERM = re.compile(r"^(\S.*)\n   .*\(notebooks/(\w+)\.ipynb#[\w-]+\)$", re.M)


def setup(app) -> dict:
    """Sphinx calls this: notebooks and pictures come in, and each source passes through `change` before it is read."""
    for name in ("notebooks", "images", "workshop"):
        shutil.rmtree(ROOT / "docs" / name, ignore_errors=True)
        shutil.copytree(ROOT / name, ROOT / "docs" / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for name in ("environment.yml", "compose.yaml", "web/README.md"):
        (ROOT / "docs" / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, ROOT / "docs" / name)
    app.connect("source-read", change)
    return {"parallel_read_safe": True}


def change(app, docname: str, source: list[str]) -> None:
    """Add to a notebook what the site shows beside it, and to the list of notebooks its cards."""
    if (name := docname.removeprefix("notebooks/")) != docname:
        source[0] = json.dumps(prepared(json.loads(source[0]), name))
    if docname == "web/README":
        source[0] = f"---\norphan: true\n---\n{source[0]}"  # start.md links it, and no list of pages does
    source[0] = re.sub("|".join(map(re.escape, ELSEWHERE)), lambda found: ELSEWHERE[found[0]], source[0])
    if "/" not in docname:
        source[0] = source[0].replace("](../", "](")  # docs/ has copies of what its pages show
    if docname == "workshop/README":
        source[0] += KIT
    source[0] = source[0].replace("<!-- cards -->", "".join(map(card, NOTEBOOKS)))
    source[0] = source[0].replace("<!-- entries -->\n", "".join(map(entry, NOTEBOOKS)))
    source[0] = source[0].replace("<!-- live -->", BUTTON if LIVE.is_file() else "")


def prepared(notebook: dict, name: str) -> dict:
    """The notebook with a bar below its title, marks of minutes, folded checks and solutions, and its words."""
    cells = [cell for old in notebook["cells"] for cell in shown(old)]
    top = "".join(cells[0]["source"])
    cells[0]["source"] = WHOLE.sub(lambda found: bar(name, *found.groups()), top)
    return {**notebook, "cells": cells + words(name)}


def shown(cell: dict) -> list[dict]:
    """The cells that the site has in the place of one."""
    text, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
    if cell["cell_type"] == "markdown":
        return [{**cell, "source": MARK.sub(mark, text)}]
    described = {"image": {"alt": alt}} if (alt := description(cell)) else {}
    if "check" in tags:
        return [folded(cell, "The check", ["hide-cell"]), *solution(text)]
    return [{**cell, "metadata": {**cell["metadata"], "mystnb": described}}]


def mark(found: re.Match) -> str:
    """Of `*Core, 5 minutes.*`: a span with a class of its own."""
    return f"[{found[1]}, {found[2]}]{{.minutes .{found[1].lower()}}}"


def bar(name: str, core: str, optional: str) -> str:
    """Minutes to read, the notebook to download, and the glossary."""
    minutes = f"[{core} minutes core]{{.minutes .core}} [{optional} optional]{{.minutes .optional}}"
    return f"{minutes} {{download}}`Download the notebook <{name}.ipynb>` [[Glossary](../glossary.md)]{{.pill}}"


def description(cell: dict) -> str:
    """What the pictures among a cell's outputs show, for those who do not see them."""
    pictures = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    found = [output["metadata"].get("image/png", {}).get("alt", "") for output in pictures]
    return " ".join("; ".join(filter(None, found)).split())


def folded(cell: dict, prompt: str, tags: list[str]) -> dict:
    """The cell behind a line that opens it."""
    prompts = {"code_prompt_show": prompt, "code_prompt_hide": prompt}
    return {**cell, "metadata": {"tags": tags, "mystnb": prompts}}


def solution(check: str) -> list[dict]:
    """The solution of the exercise whose check this cell is, folded."""
    number = re.search(r"check_(\d\d_\d)", check)[1]
    text = (ROOT / f"notebooks/solutions/{number}.py").read_text(encoding="utf-8")
    return [folded(nbformat.v4.new_code_cell(text.strip()), "A solution", ["hide-input"])]


def words(name: str) -> list[dict]:
    """A last cell with the glossary's words that this notebook explains."""
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = [f"{{term}}`{term}`" for term, place in TERM.findall(glossary) if place == name]
    text = f"## Words explained here\n\n{', '.join(terms)}. [All words](../glossary.md)"
    return [nbformat.v4.new_markdown_cell(text)] if terms else []


def title(path: Path) -> str:
    """A notebook's question."""
    return heading(path).splitlines()[0].removeprefix("# ")


def heading(path: Path) -> str:
    """A notebook's first cell."""
    return "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])


def entry(path: Path) -> str:
    """A notebook's line in the navigation, with the number by which the notebooks call each other."""
    return f"{path.stem[:2]} {title(path)} <notebooks/{path.stem}>\n"


def card(path: Path) -> str:
    """A notebook's card: its number and question, how it begins, and the minutes it takes."""
    core, optional = WHOLE.search(heading(path)).groups()
    begins = " ".join(WHOLE.split(heading(path))[-1].strip().split("\n\n")[0].split())
    sentences = re.split(r"(?<=[.?!]) (?=[A-Z])", begins)[:2]
    return (
        f"\n:::{{grid-item-card}} {path.stem[:2]} {title(path)}\n:link: notebooks/{path.stem}\n:link-type: doc\n\n"
        f"{' '.join(sentences)}\n\n"
        f"[{core} minutes core]{{.minutes .core}} [{optional} optional]{{.minutes .optional}}\n:::\n"
    )
