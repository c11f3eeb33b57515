"""The kit is true: plans add up, pages are those that the notebooks give, slides and quiz name what there is."""

import ast
import html
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from t2v_helpers import cli
from t2v_helpers.core import files
from t2v_helpers.core.paths import ROOT
from t2v_helpers.machine import doctor
from workshop import build, sections, troubleshooting
from workshop.capstone import pacing

NUMBERS = pytest.mark.parametrize("notebook", sections.notebooks())
PLANS = pytest.mark.parametrize("name", build.PLANS)
WRONG = {path.stem for path in (ROOT / "notebooks" / "solutions" / "wrong").glob("*.py")}
QUIZ = build.read(build.HERE / "quiz" / "questions.yaml")


@PLANS
def test_a_plan_fills_its_time_to_the_minute(name):
    about, items = build.plan(name)
    ends = [item.begins + item.minutes for item in items]
    assert {day * about["minutes"] for day in range(1, about.get("days", 1) + 1)} <= set(ends)
    assert ends[-1] == about["minutes"] * about.get("days", 1)


@PLANS
def test_a_plan_teaches_core_sections_alone_and_keeps_spare_minutes(name):
    about, items = build.plan(name)
    assert [item.what for item in items if item.section and not item.section.core] == []
    assert sum(item.minutes for item in items if item.what.startswith("Spare")) >= 0.06 * ends(items)
    assert any(item.stop for item in items) and any(item.late for item in items)


def ends(items: list[build.Item]) -> int:
    return items[-1].begins + items[-1].minutes


def test_whoever_has_sat_for_two_hours_has_had_a_break():
    for name in build.PLANS:
        since = 0
        for item in build.plan(name)[1]:
            since = 0 if re.match("Break|Lunch|Yesterday", item.what) else since + item.minutes
            assert since <= 130, (name, item.what)


@pytest.mark.parametrize("words, said", [([], "what"), (["slide"], "'slide'"), (["pages", "slides"], ": slides")])
def test_only_pages_and_slides_can_be_made(words, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        build.main(words)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("path", build.committed(), ids=lambda path: path.relative_to(build.HERE).as_posix())
def test_a_page_is_what_the_notebooks_give(path):
    wanted = build.committed()[path]
    assert path.read_text(encoding="utf-8") == wanted, "run: python -m workshop.build pages"


@pytest.mark.parametrize("path", build.committed(), ids=lambda path: path.stem)
def test_its_links_lead_to_files_and_it_names_no_machine(path):
    text = path.read_text(encoding="utf-8")
    assert all((path.parent / link).is_file() for link in re.findall(r"\]\(([^)#:]+)\)", text))
    assert sys.prefix not in text and str(ROOT) not in text


@NUMBERS
def test_a_teacher_has_three_misconceptions_each_with_a_wrong_answer_under_test(notebook):
    said = build.teach(notebook)
    named = [one["wrong"] for one in said["misconceptions"]]
    assert len(set(named)) == 3 and set(named) <= WRONG and all(stem.startswith(notebook) for stem in named)
    assert len(said["trouble"]) == 3 and len(said["say"].split()) > 20


@NUMBERS
def test_every_core_section_asks_first(notebook):
    core = [one for one in sections.sections(notebook) if one.core and one.title != "What you saw"]
    assert [one.title for one in core if not build.said_of(one).get("ask", "").endswith(("?", "."))] == []


@PLANS
def test_the_quiz_of_a_plan_asks_of_what_was_taught(name):
    about, items = build.plan(name)
    for item in (item for item in items if item.what.startswith("Quiz")):
        taught = {one.section.notebook for one in items if one.section and one.begins < item.begins}
        for number in asked(item.what) | asked(item.late):
            assert sections.find(QUIZ[number - 1]["from"]).notebook in taught, (name, number)
    assert any(item.what.startswith("Quiz") for item in items)


def asked(text: str) -> set[int]:
    """The questions that a line of a plan names: "1, 3 and 5 to 7"."""
    spans = re.findall(r"(\d+)(?: to (\d+))?", text)
    return {number for first, last in spans for number in range(int(first), int(last or first) + 1)}


@NUMBERS
def test_what_comes_out_of_each_question_is_said(notebook):
    asked = [one for one in sections.sections(notebook) if build.said_of(one).get("ask")]
    assert asked and [one.name for one in asked if len(build.said_of(one).get("answer", "").split()) < 2] == []


# Words a minute, and the minutes of a prediction; workshop/README.md names them to teachers.
READ, SPEAK, PREDICT = 180, 130, 0.5


def words(text: str) -> int:
    return len(re.findall(r"[^\W_][\w'.-]*", text))


@pytest.mark.parametrize("item", [item for item in build.plan("90_minutes")[1] if item.section], ids=lambda i: i.what)
def test_a_section_of_the_90_minutes_can_be_read_asked_and_told_in_its_time(item):
    assert read_and_told(item.section) + PREDICT <= item.minutes + 0.25


def read_and_told(section: sections.Section) -> float:
    """Minutes to read a section and its code, and to ask and tell what the teacher does."""
    said = build.said_of(section)
    told = " ".join([*(said.get(key, "") for key in ("ask", "answer", "tell")), *said.get("points", [])])
    return (words(section.prose) + words(section.code)) / READ + words(told) / SPEAK


@PLANS
def test_a_plan_as_a_whole_leaves_time_to_think_at_every_cell_and_to_write_the_exercises(name):
    taught = [item.section for item in build.plan(name)[1] if item.section]
    needed = sum(read_and_told(one) + PREDICT * one.cells + one.minutes / 2 * (one.exercise > 0) for one in taught)
    assert needed <= sum(one.minutes for one in taught)


@NUMBERS
def test_a_notebook_that_speaks_of_other_weights_has_the_sentence(notebook):
    assert sections.needs_other_weights(notebook) == (build.LICENCE in build.note_page(notebook))


@pytest.mark.skipif(not build.REVEAL.is_dir(), reason="needs `npm ci` in workshop/")
@PLANS
def test_the_slides_are_one_file_that_asks_nobody(name):
    text = build.deck(name)
    bare = re.sub(r"data:[\w/]+;base64,[\w+/=%]+", "data:,", text.split("<script>")[0])
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)|@import|url\((?!['"]?data:)""", bare)
    assert text.count('<video class="clip"') >= 2 and text.count('class="notes"') >= 15 and build.LICENCE in text


BROWSER = next(filter(shutil.which, build.BROWSERS), None)
needs_slides = pytest.mark.skipif(not BROWSER or not build.REVEAL.is_dir(), reason="needs a browser and `make slides`")
FITS = Path(__file__).with_name("fits.js")


def faults_of(page: str, folder: Path) -> list[str]:
    """What does not fit on the slides of a page, as a browser lays them out."""
    script = f"<script>{FITS.read_text(encoding='utf-8')}</script></body>"
    laid = files.write_text(folder / "page.html", page.replace("</body>", script))
    words = ["--headless", "--no-sandbox", f"--user-data-dir={folder}/profile", "--window-size=1280,720"]
    words += ["--virtual-time-budget=20000", "--dump-dom", laid.as_uri()]
    dom = subprocess.run([BROWSER, *words], check=True, capture_output=True, text=True, timeout=300).stdout
    assert int(re.search(r'data-pages="(\d+)"', dom)[1]) > 0
    return html.unescape(re.search(r'data-faults="([^"]*)"', dom)[1]).splitlines()


@needs_slides
@PLANS
def test_all_that_is_on_a_slide_fits(name, tmp_path):
    assert faults_of(build.deck(name, paper=True), tmp_path) == []


@needs_slides
def test_what_does_not_fit_is_found(tmp_path):
    page = build.deck("90_minutes", paper=True).replace("</ul>", f"{'<li>more</li>' * 30}</ul>", 1)
    assert any("li ends" in fault for fault in faults_of(page, tmp_path))


def test_a_filmstrip_leaves_its_room_to_the_plot():
    plot, strip = (figure.ratio() for figure in sections.find("02 How signal drowns").figures)
    assert strip > build.STRIP > plot
    low, high = build._heights([strip, plot])
    assert low < high and build._heights([strip, strip]) == [160, 160] and build._heights([plot]) == [300]


def test_the_lock_pins_reveal_and_names_no_address():
    lock = json.loads((build.HERE / "package-lock.json").read_text())
    asked = json.loads((build.HERE / "package.json").read_text())["dependencies"]
    assert {name: lock["packages"][f"node_modules/{name}"]["version"] for name in asked} == asked
    assert "://" not in json.dumps(lock)


@pytest.mark.skipif(not BROWSER, reason="needs a browser")
def test_the_handout_has_two_pages(tmp_path):
    pdf = build.to_pdf(build.handout(), tmp_path / "handout.pdf").read_bytes()
    assert re.findall(rb"/Type /Pages\b[^>]*?/Count (\d+)|/Count (\d+)[^>]*?/Type /Pages\b", pdf)[0] in (
        (b"2", b""), (b"", b"2"))  # fmt: skip


def test_the_handouts_commands_are_understood():
    targets = set(re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(), re.M))
    for command, _ in build.read(build.HERE / "handout.yaml")["commands"]:
        program, first, *rest = shlex.split(command)
        assert len(command) <= 55  # the width of its column
        if program == "source":
            assert first == ".venv/bin/activate"
            continue
        assert first in (targets if program == "make" else {*cli.MODULES, *(c.__name__ for c in cli.COMMANDS)})
        if program == "t2v" and first not in cli.MODULES:
            assert cli.parser().parse_args([first, *rest]).command


# --- quiz


@pytest.mark.parametrize("one", QUIZ, ids=[str(k) for k in range(1, len(QUIZ) + 1)])
def test_a_question_has_a_right_answer_a_reason_and_its_section(one):
    assert len(set(one["answers"])) == 3 and all(isinstance(text, str) for text in one["answers"])
    assert one["right"] in (0, 1, 2) and len(one["why"].split()) >= 10
    assert sections.find(one["from"]).name == one["from"]


def test_there_are_twenty_and_no_letter_gives_them_away():
    right = [one["right"] for one in QUIZ]
    assert len(QUIZ) == 20 and all(6 <= right.count(k) <= 8 for k in range(3))
    longest = [max(range(3), key=lambda k: len(one["answers"][k])) == one["right"] for one in QUIZ]
    assert sum(longest) <= 14


def test_the_quiz_counts_the_first_answer(monkeypatch):
    monkeypatch.syspath_prepend(build.HERE)
    from workshop.quiz.play import Quiz

    quiz = Quiz(QUIZ)
    wrong = (QUIZ[0]["right"] + 1) % 3
    quiz.answer(0, wrong)
    quiz.answer(0, QUIZ[0]["right"])
    quiz.answer(1, QUIZ[1]["right"])
    assert quiz.score.value == "<b>1 right at the first try, 2 of 20 answered</b>"
    assert "Right." in quiz.said[0].value and QUIZ[1]["from"] in quiz.said[1].value


def test_the_quiz_notebook_plays():
    cells = nbformat.read(build.HERE / "quiz.ipynb", as_version=4).cells
    assert cells[1].source == "from quiz.play import play\n\nplay()"


# --- troubleshooting


def test_every_fault_that_doctor_knows_is_on_the_page(monkeypatch):
    """Each line of doctor.py that makes a Problem is reached by one of the page's cases."""
    tree = ast.parse(inspect.getsource(doctor))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    lines = {node.lineno for node in calls if getattr(node.func, "id", "") == "Problem"}
    reached, real = set(), doctor.Problem

    def noted(*words):
        reached.add(sys._getframe(1).f_lineno)
        return real(*words)

    monkeypatch.setattr(doctor, "Problem", noted)
    troubleshooting.cases()
    assert lines and lines <= reached


def test_the_page_says_what_doctor_says():
    page = troubleshooting.page()
    for case, found in troubleshooting.cases().items():
        assert found, case
        assert any(one.what.replace(sys.executable, "/usr/bin/python3") in page for one in found), case


# --- capstone


def test_a_drawing_of_pacing_is_read_as_there_and_back_and_a_walk_is_not():
    _, labels = pacing.sentence(pacing.ASKED_STREAM, 0)
    assert pacing.succeeded(pacing.drawing(labels, 0), labels)["both"]
    assert not pacing.succeeded(pacing.cartoon.render(labels, 0)[0], labels)["paced"]


def test_its_stored_scores_are_those_of_the_settings():
    stored = json.loads(pacing.SCORES.read_text())
    assert stored["settings"] == pacing.asdict(pacing.SETTINGS) and stored["videos"] == pacing.VIDEOS
    assert set(stored["scores"]["1: two sentences"]) == {"paced", "rest as asked", "both"}
