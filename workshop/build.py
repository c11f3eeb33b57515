"""Make the workshop kit from the notebooks and from what a teacher says of them in teach/.

    python -m workshop.build pages     the plans and the notes, as Markdown beside this file: they are committed
    python -m workshop.build slides    outputs/workshop/: slides, handout and quiz, and PDF where there is a browser

A slide belongs to a section of a notebook, and a plan shows the slides of the sections that it teaches.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
import yaml

from t2v_helpers.core import arguments, files, tables
from t2v_helpers.core.paths import ROOT
from t2v_helpers.course import costs, pages
from t2v_helpers.course.preflight import BROWSERS
from workshop import sections, troubleshooting
from workshop.sections import Section

HERE, OUT = ROOT / "workshop", ROOT / "outputs" / "workshop"
PLANS = tuple(sorted(plan.stem for plan in (HERE / "plans").glob("*.yaml")))
WHOLE, STRIP = 490, 4  # pixels for the pictures beside a slide's words; a filmstrip is this much wider than high
REVEAL = HERE / "node_modules" / "reveal.js"
LICENCE = (
    "All of this runs with the cartoon model, which is free for any use (Apache 2.0). The weights of the real model, "
    "ModelScope, are CC-BY-NC 4.0: not for commercial use, which a paid course may be. No exercise needs them."
)
SKIPPED = (
    "A section of these notebooks that is not named here is not read. If one that is named follows it, its cells are "
    "run all the same, for later cells use what they define: *Shift+Enter* through them. Whoever is behind puts the "
    "cursor where the room is: *Run > Run All Above Selected Cell*."
)
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip
TEMPLATES.filters["markdown"] = lambda text: jinja2.utils.markupsafe.Markup(pages.html(text))


@dataclass(frozen=True)
class Item:
    """A line of a plan: what is done from minute `begins` on, for `minutes`; `section`: where it is a notebook's."""

    begins: int
    minutes: int
    what: str
    ask: str = ""
    late: str = ""
    stop: str = ""
    section: Section | None = None


def read(path: Path) -> dict:
    return yaml.safe_load(files.read_text(path))


@cache
def teach(notebook: str) -> dict:
    """What a teacher says of a notebook, from teach/NN.yaml; its sections by their whole name."""
    said = read(HERE / "teach" / f"{notebook}.yaml")
    own = {sections.find(f"{notebook} {one['section']}").name: one for one in said["sections"]}
    return said | {"sections": own}


def said_of(section: Section) -> dict:
    return teach(section.notebook)["sections"].get(section.name, {})


# --- plans


def plan(name: str) -> tuple[dict, list[Item]]:
    """A plan of plans/NAME.yaml and its lines, with the minutes that the notebooks themselves say."""
    about, items, now = read(HERE / "plans" / f"{name}.yaml"), [], 0
    for entry in about["items"]:
        for item in _lines(entry, now):
            items.append(item)
            now += item.minutes
    return about, items


def _lines(entry: dict, now: int) -> Iterator[Item]:
    """The lines of an entry: `do` something for `minutes`; or `teach` a section, or a notebook's core, such as "02"."""
    if "do" in entry:
        yield Item(now, entry["minutes"], entry["do"], late=entry.get("late", ""), stop=entry.get("stop", ""))
        return
    name = str(entry["teach"])
    taught = [sections.find(name)] if " " in name else [one for one in sections.sections(name) if one.core]
    for one in taught:
        said, stop = said_of(one), entry.get("stop", "") if one is taught[-1] else ""
        what = f"**{one.notebook}** {one.title}"
        yield Item(now, one.minutes, what, said.get("ask", ""), entry.get("late") or said.get("late", ""), stop, one)
        now += one.minutes


def clock(begin: str, minutes: int) -> str:
    """ "09:00" and 75 -> "10:15"."""
    hours, rest = map(int, begin.split(":"))
    return "{:02}:{:02}".format(*divmod(hours * 60 + rest + minutes, 60))


def plan_page(name: str) -> str:
    """A plan as Markdown: by the clock, what is asked first, and what goes when time is short."""
    about, items = plan(name)
    days = [[item for item in items if item.begins // about["minutes"] == day] for day in range(about.get("days", 1))]
    parts = [f"# {about['title']}", "", about["for"].strip(), "", *_facts(items), "", SKIPPED, "", LICENCE]
    for number, day in enumerate(days, 1):
        first = (number - 1) * about["minutes"]
        rows = [(clock(about["begin"], i.begins - first), i.minutes, i.what, i.ask, i.late) for i in day]
        head = ("clock", "min", "what", "ask first", "when late")
        parts += ["", f"## Day {number}" if len(days) > 1 else "## Minute by minute", "", tables.markdown(head, rows)]
        stops = [f"- {clock(about['begin'], i.begins + i.minutes - first)}: {i.stop}" for i in day if i.stop]
        parts += ["", "Where you can stop, and what they take home:", "", *stops] if stops else []
    return _made("\n".join(parts), f"plans/{name}.yaml, and the notebooks")


def _facts(items: list[Item]) -> list[str]:
    taught = sorted({item.section.notebook for item in items if item.section})
    reading = sum(item.minutes for item in items if item.section)
    notes = ", ".join(f"[{number}](../notes/{number}.md)" for number in taught)
    whole = sum(item.minutes for item in items)
    return [f"{whole} minutes, of which {reading} in core sections of notebooks. Notes: {notes}."]


def _made(text: str, source: str) -> str:
    return f"<!-- made by `make slides` from {source}: do not edit -->\n{text}\n"


# --- instructor notes


def note_page(notebook: str) -> str:
    """The notes of a notebook as Markdown, from teach/NN.yaml and the notebook's own marks."""
    said, name = teach(notebook), sections.notebooks()[notebook]
    core, optional = sections.minutes(notebook)
    parts = [f"# {notebook}: {sections.question(notebook)}", ""]
    parts += [
        f"[{name}](../../notebooks/{name}): {core} minutes core, {optional} optional. {costs.line(Path(name).stem)}"
    ]
    parts += ["", LICENCE] if sections.needs_other_weights(notebook) else []
    parts += ["", "## Say", "", said["say"].strip(), "", "## Section by section", ""]
    parts += [_section_table(sections.sections(notebook))]
    parts += ["", "## Three misconceptions, and how to turn them", ""]
    parts += [_turned(n, one) for n, one in enumerate(said["misconceptions"], 1)]
    parts += ["", "## What goes wrong, and the cure", ""]
    parts += [f"- **{one['what']}** {one['cure']}" for one in said["trouble"]]
    return _made("\n".join(parts), f"teach/{notebook}.yaml, and the notebook")


def _section_table(all_of_it: tuple[Section, ...]) -> str:
    """A row for each section; what comes out of the questions has a column where teach/NN.yaml says it."""
    heads = {"ask": "ask first: let them write it down", "answer": "what comes out", "late": "when late"}
    told = [key for key in heads if any(key in said_of(one) for one in all_of_it)]
    rows = [
        (one.title, "core" if one.core else "optional", one.minutes, *(said_of(one).get(key, "") for key in told))
        for one in all_of_it
    ]
    return tables.markdown(("section", "", "min", *(heads[key] for key in told)), rows)


def _turned(number: int, one: dict) -> str:
    wrong = f"[{one['wrong']}](../../notebooks/solutions/wrong/{one['wrong']}.py)"
    return f'{number}. **"{one["claim"].rstrip(".")}."** {one["turn"].strip()} (The check answers {wrong}.)'


def capstone_page() -> str:
    """The capstone's task and rubric, with the scores that the two solutions got."""
    stored = json.loads((HERE / "capstone" / "scores.json").read_text(encoding="utf-8"))
    columns = ("paced", "rest as asked", "both", "old sentences")
    rows = [
        (name, *(" ".join(row.get(column, "").split()) for column in columns)) for name, row in stored["scores"].items()
    ]
    scores = f"{tables.markdown(('', *columns), rows)}\n\n{stored['videos']} sentences each."
    task = (HERE / "capstone" / "task.md").read_text(encoding="utf-8").strip()
    return _made(task.replace("SCORES", scores).replace("LICENCE", LICENCE), "capstone/task.md and scores.json")


# --- slides, handout, quiz


def deck(name: str, paper: bool = False) -> str:
    """The slides of a plan as one page that needs no network; for `paper` without programs and videos."""
    about, items = plan(name)
    shown = [(item, said_of(item.section)) for item in items if item.section and "slide" in said_of(item.section)]
    slides = [said | _shown(item.section, said, paper) | {"item": item} for item, said in shown]
    return TEMPLATES.get_template("slides.html").render(
        about=about, slides=slides, licence=LICENCE, paper=paper,
        css=_asset("dist/reveal.css"), js=_asset("dist/reveal.js"), notes=_asset("plugin/notes/notes.js"),
    )  # fmt: skip


def _shown(section: Section, said: dict, paper: bool) -> dict:
    """What a slide shows of its section: pictures with their heights, videos, a printed output.

    `wide`: over the whole width, the words below.
    """
    wanted = said.get("figure", [])
    figures = [section.figures[n - 1] for n in (wanted if isinstance(wanted, list) else [wanted])]
    text = _text(section, said)
    ratios = [figure.ratio(paper) for figure in figures]
    wide = any(ratio > 2 for ratio in ratios) or max(map(len, text.splitlines()), default=0) > 40
    heights = _heights(ratios) if wide else [WHOLE // max(1, len(figures))] * len(figures)
    return {"figures": list(zip(figures, heights, strict=True)), "text": text, "wide": wide}


def _heights(ratios: list[float]) -> list[int]:
    """Pixels for pictures that lie above one another: a filmstrip is low, and leaves its room to a plot."""
    room, low = (0, 300, 320, 340)[len(ratios)], (0, 0, 120, 95)[len(ratios)]
    strips = sum(ratio > STRIP for ratio in ratios)
    if strips in (0, len(ratios)):
        return [room // len(ratios) for _ in ratios]
    return [low if ratio > STRIP else (room - low * strips) // (len(ratios) - strips) for ratio in ratios]


def _text(section: Section, said: dict) -> str:
    """The section's printed output that holds the words `text`, or its first `lines`. ValueError: none does."""
    if "text" not in said:
        return ""
    found = [text for text in section.texts if said["text"] in text]
    if not found:
        raise ValueError(
            f"nothing that {section.name} prints holds {said['text']!r}: correct teach/{section.notebook}.yaml."
        )
    return "\n".join(found[0].splitlines()[: said.get("lines")])


def _asset(path: str) -> str:
    """A file of reveal.js, fit to stand inside a page. FileNotFoundError: `npm ci` has not been run."""
    if not (REVEAL / path).is_file():
        raise FileNotFoundError(f"{REVEAL / path} is missing: run `npm ci` in workshop/, or `make slides`.")
    return (REVEAL / path).read_text(encoding="utf-8").replace("</script", "<\\/script")


def handout() -> str:
    """Two pages of A4: training and sampling in one picture, the glossary, and the commands."""
    _, noised = sections.find("02 How signal drowns").figures
    *_, latents, believed = sections.find("02 What a latent looks like").figures
    strips = {"noised": noised, "latents": latents, "believed": believed}
    about, known = read(HERE / "handout.yaml"), glossary()
    words = {word: known[word] for word in about["words"]}
    return TEMPLATES.get_template("handout.html").render(about=about, words=words, licence=LICENCE, **strips)


def glossary() -> dict[str, str]:
    """The words of docs/glossary.md and what they mean, without the links."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^(\S.*)\n   (.+?)(?: \[.*\]\(.*\))?$", text, re.M))


def quiz_page() -> str:
    """The quiz as a page that needs no network."""
    return TEMPLATES.get_template("quiz.html").render(quiz=read(HERE / "quiz" / "questions.yaml"), licence=LICENCE)


def to_pdf(text: str, pdf: Path) -> Path | None:
    """Print a page with a browser that can be started unseen; None where there is none."""
    browser = next(filter(shutil.which, BROWSERS), None)
    if not browser:
        return None
    with tempfile.TemporaryDirectory() as folder:
        page = files.write_text(Path(folder, "page.html"), text)
        words = ["--headless", "--no-sandbox", f"--user-data-dir={folder}/profile", "--no-pdf-header-footer"]
        words += [f"--print-to-pdf={pdf.resolve()}", page.as_uri()]
        subprocess.run([browser, *words], check=True, capture_output=True, timeout=300)
    return pdf


def committed() -> dict[Path, str]:
    """The pages that lie in the repository: file -> what it must hold."""
    found = {HERE / "plans" / f"{name}.md": plan_page(name) for name in PLANS}
    found[HERE / "troubleshooting.md"] = _made(troubleshooting.page(), "t2v_helpers/machine/doctor.py")
    found[HERE / "capstone" / "README.md"] = capstone_page()
    return found | {HERE / "notes" / f"{number}.md": note_page(number) for number in sections.notebooks()}


def main(words: Sequence[str] | None = None) -> None:
    """Make "pages" or "slides"."""
    p = arguments.Parser(prog="python -m workshop.build", description="Make the workshop kit.")
    p.add_argument("what", choices=("pages", "slides"))
    what = p.parse_args(words).what
    for path, text in committed().items():
        files.write_text(path, text)
    if what == "slides":
        screen = {f"slides_{name}": deck(name) for name in PLANS} | {"handout": handout(), "quiz": quiz_page()}
        paper = {f"slides_{name}": deck(name, paper=True) for name in PLANS} | {"handout": screen["handout"]}
        made = [files.write_text(OUT / f"{name}.html", text) for name, text in screen.items()]
        made += [to_pdf(text, OUT / f"{name}.pdf") for name, text in paper.items()]
        print(*filter(None, made), sep="\n")


if __name__ == "__main__":
    main()
