"""What the workshop kit reads off the notebooks: their sections, each with its minutes, pictures and videos.

Under a heading a notebook says `*Core, 5 minutes.*` or `*Optional, 5 minutes.*`. A section goes from such a mark to the
next one. It is called by its notebook and the beginning of its title, without numbers: "02 How signal drowns".
"""

import base64
import json
import re
import struct
from dataclasses import dataclass, field
from functools import cache

from t2v_helpers.core.paths import NOTEBOOKS

MARK = re.compile(
    r"^(?:#+ (?P<heading>.+)\n+|\*\*(?P<n>\d)\. (?P<task>[^*\n]+)\*\* )"
    r"\*(?P<kind>Core|Optional), (?P<minutes>\d+) minutes?\.(?: The whole notebook: (?P<sums>[^*]+)\.)?\*",
    re.M,
)
VIDEO = re.compile(r'<video[^>]*aria-label="(?P<alt>[^"]*)"[^>]*poster="(?P<poster>[^"]+)"[^>]*src="(?P<source>[^"]+)"')


@dataclass(frozen=True)
class Figure:
    """A stored picture or video: data URIs and words for it. Only a video has `video` and `poster`, its first frame."""

    still: str
    alt: str
    video: str = ""
    poster: str = ""

    def ratio(self, paper: bool = True) -> float:
        """How many times as wide as high it is, on paper or on a screen, which shows the video itself.

        A PNG has both numbers in bytes 16 to 23 of its header.
        """
        shown = self.still if paper else self.poster or self.still
        width, height = struct.unpack(">II", base64.b64decode(shown.partition(",")[2][:64])[16:24])
        return width / height


@dataclass
class Section:
    """A part of a notebook; title is without its number. `exercise` is its number in the notebook, or 0.

    `prose` and `code` are what there is to read in it, the code in so many `cells`; `figures` and `texts` are what it
    shows and prints.
    """

    notebook: str
    title: str
    core: bool
    minutes: int
    exercise: int = 0
    prose: str = ""
    code: str = ""
    cells: int = 0
    figures: list[Figure] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.notebook} {self.title}"


@cache
def notebooks() -> dict[str, str]:
    """The number of each notebook and its file's name."""
    return {path.name[:2]: path.name for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}


@cache
def cells(notebook: str) -> tuple[dict, ...]:
    return tuple(json.loads((NOTEBOOKS / notebooks()[notebook]).read_text(encoding="utf-8"))["cells"])


@cache
def sections(notebook: str) -> tuple[Section, ...]:
    """The marked sections of a notebook, such as "02". The first one is the opening, called by the notebook's title."""
    found: list[Section] = []
    for cell in cells(notebook):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            _read(notebook, text, found)
            continue
        found[-1].code += f"{text}\n"
        found[-1].cells += 1
        if "check" not in cell["metadata"].get("tags", []):
            _keep(_lesson(found), cell["outputs"])
    return tuple(found)


def _read(notebook: str, text: str, found: list[Section]) -> None:
    """Add the sections that a text begins, and give each of them, and the one before, its words."""
    ends = 0
    for mark in MARK.finditer(text):
        if found:
            found[-1].prose += text[ends : mark.start()]
        found.append(_section(notebook, mark))
        ends = mark.end()
    found[-1].prose += text[ends:]


def _lesson(found: list[Section]) -> Section:
    """The section that shows what a cell gave: an exercise has no outputs of its own."""
    return next((one for one in reversed(found) if not one.exercise), found[-1])


def _section(notebook: str, mark: re.Match) -> Section:
    heading = mark["heading"] or f"Exercise {mark['n']}: {mark['task'].rstrip('.')}"
    exercise = re.match(r"Exercise (\d+)", heading)
    title = re.sub(r"^\d+\. ", "", heading)
    return Section(notebook, title, mark["kind"] == "Core", int(mark["minutes"]), int(exercise[1]) if exercise else 0)


def _keep(section: Section, outputs: list[dict]) -> None:
    """Put a cell's pictures, videos and texts into the section. The filmstrip after a video becomes its still."""
    video = None
    for output in outputs:
        data = {kind: "".join(text).strip() for kind, text in output.get("data", {}).items()}
        if shown := VIDEO.search(data.get("text/html", "")):
            video = shown
            section.figures.append(Figure(shown["poster"], shown["alt"], shown["source"], shown["poster"]))
        elif "image/png" in data:
            still, alt = f"data:image/png;base64,{data['image/png']}", data["text/plain"]
            if video:
                section.figures[-1] = Figure(still, video["alt"], video["source"], video["poster"])
            else:
                section.figures.append(Figure(still, section.title if alt.startswith("<Figure") else alt))
            video = None
        elif output.get("name") == "stdout":
            section.texts.append("".join(output["text"]))


def find(name: str) -> Section:
    """The section called `name`, such as "02 How signal drowns". ValueError: none or several, with those there are."""
    notebook, _, title = name.partition(" ")
    if notebook not in notebooks():
        raise ValueError(f"{name!r}: there is no notebook {notebook!r}, only {', '.join(notebooks())}.")
    found = [one for one in sections(notebook) if one.title.startswith(title)]
    if len(found) != 1:
        titles = "; ".join(one.title for one in sections(notebook))
        raise ValueError(f"{name!r} names {len(found)} sections of {notebooks()[notebook]}, which has: {titles}.")
    return found[0]


def question(notebook: str) -> str:
    """What a notebook asks: its title."""
    return "".join(cells(notebook)[0]["source"]).splitlines()[0].lstrip("# ")


def minutes(notebook: str) -> tuple[int, int]:
    """A notebook's minutes in core and in optional sections: the sum of its marks."""
    core = sum(one.minutes for one in sections(notebook) if one.core)
    return core, sum(one.minutes for one in sections(notebook)) - core


def said_minutes(notebook: str) -> str:
    """The sums that the notebook itself prints under its title."""
    return MARK.search("".join(cells(notebook)[0]["source"]))["sums"]


def needs_other_weights(notebook: str) -> bool:
    """Whether a notebook has something to say of the real model, whose weights are not free for commercial use."""
    return any("modelscope" in "".join(cell["source"]) for cell in cells(notebook))
