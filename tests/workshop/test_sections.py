"""What the kit reads off the notebooks: the marks under their headings, and the figures of a section."""

import json

import pytest

from workshop import sections

NUMBERS = pytest.mark.parametrize("notebook", sections.notebooks())
NO_MARK = {"References", "Where the real model differs", "Exercises"}  # headings that are read at home, or hold others


@NUMBERS
def test_the_sums_under_the_title_are_those_of_the_marks(notebook):
    core, optional = sections.minutes(notebook)
    assert sections.said_minutes(notebook) == f"{core} minutes core, {optional} optional"
    assert 25 <= core <= 65


@NUMBERS
def test_every_heading_of_a_section_has_its_mark(notebook):
    texts = ["".join(cell["source"]) for cell in sections.cells(notebook) if cell["cell_type"] == "markdown"]
    heads = [line.removeprefix("## ") for text in texts for line in text.splitlines() if line.startswith("## ")]
    marked = {one.title for one in sections.sections(notebook)}
    numberless = {head.partition(". ")[2] if head[0].isdigit() else head for head in heads}
    assert numberless - NO_MARK <= marked


@NUMBERS
def test_every_exercise_has_its_minutes(notebook):
    cells = sections.cells(notebook)
    stubs = [cell for cell in cells if "exercise" in cell["metadata"].get("tags", [])]
    numbers = [one.exercise for one in sections.sections(notebook) if one.exercise]
    assert numbers == [*range(1, len(stubs) + 1)] and numbers


def test_a_mark_that_changes_changes_the_sum(monkeypatch):
    changed = json.loads(json.dumps(sections.cells("02")))
    text = "".join(changed[0]["source"])
    changed[0]["source"] = [text.replace("*Core, 4 minutes.", "*Core, 50 minutes.", 1)]
    before = sections.minutes("02")
    monkeypatch.setattr(sections, "cells", lambda notebook: changed)
    monkeypatch.setattr(sections, "sections", sections.sections.__wrapped__)
    assert sections.minutes("02") == (before[0] + 46, before[1])


def test_a_video_comes_with_its_filmstrip_and_what_follows_a_check_is_the_lessons():
    (first,) = sections.find("00 Can I make a video").figures
    assert first.video.startswith("data:video/mp4;base64,") and first.still.startswith("data:image/png;base64,")
    assert first.ratio() > 2 and first.ratio(paper=False) == 1 and "Times Square" in first.alt
    assert sections.find("02 Exercise 1").figures == [] and sections.find("10 The roof").figures


@pytest.mark.parametrize(
    "name, word", [("77 Steps", "'77'"), ("02 Nothing like it", "0 sections"), ("02 ", "sections")]
)
def test_a_name_that_fits_no_section_or_several_is_refused(name, word):
    with pytest.raises(ValueError, match=word):
        sections.find(name)
