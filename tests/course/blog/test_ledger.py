"""The ledger: rows, and what its page and its JSON hold."""

import json
import re
from dataclasses import replace

import pytest
from blog_clips import SHORT, noise_clips

from t2v_helpers.core import files, video
from t2v_helpers.course.blog import ledger, originals, published, verdicts, videos

ROW = ledger.Row("claim", "more frames: words", verdicts.HOLDS, "20 frames became 40.")


def test_an_unknown_claim_is_refused():
    assert ledger.claim_row("block", verdicts.HOLDS, "why").subject.startswith("block: these operations")
    with pytest.raises(ValueError, match="name='blok' is unknown: did you mean 'block'"):
        ledger.claim_row("blok", verdicts.HOLDS, "why")


def test_rows_know_their_words():
    with pytest.raises(ValueError, match="kind='guess' is unknown"):
        replace(ROW, kind="guess")
    with pytest.raises(ValueError, match="verdict='fine' is unknown"):
        replace(ROW, verdict="fine")
    with pytest.raises(ValueError, match="subject and why must say something"):
        replace(ROW, why=" ")


def test_a_video_row_holds_what_was_asked_and_found(six):
    row = ledger.video_row("as published", six[1], name="a.mp4")
    assert (row.subject, row.scheduler, row.draw, row.steps, row.frames, row.fps) == (
        "example1.mp4",
        "dpm++",
        2,
        4,
        3,
        8,
    )
    assert row.sha256 == six[1].record.frames_sha256 and "torch" in row.versions and row.seconds > 0
    assert row.verdict in (verdicts.SAME_WORDS, verdicts.OTHER_WORDS) and "model toy, not modelscope" in row.why


def test_a_video_that_the_judge_cannot_read_is_held_against_the_file_if_there_is_one(hub_pipe):
    (made,) = videos.controlled(hub_pipe, [replace(SHORT[0], steps=2, frames=1)])
    assert made.frames.shape == (1, 256, 256, 3)
    assert ledger.video_row("controlled", made).verdict == verdicts.NO_FILES
    near = made.frames ^ 1  # every pixel one grey level off
    assert ledger.video_row("controlled", made, theirs=near).verdict == verdicts.SAME_PICTURE
    assert ledger.video_row("controlled", made, theirs=255 - made.frames).verdict == verdicts.ANOTHER


def test_without_files_the_rows_hold_what_was_read_off_them_before():
    rows = ledger.file_rows(originals.given_folder(None, "unused"))
    assert [(row.subject, row.sha256) for row in rows] == [(run.file, run.sha256) for run in published.RUNS]
    assert {row.verdict for row in rows} == {verdicts.MEASURED} and {row.fps for row in rows} == {8}
    assert rows[0].why.startswith("stored: mpeg4, 256x256, 20 frames, 8 fps, 2.50 s; a mark (strongest in rows 160")
    assert ["; a mark" in row.why for row in rows] == [True] * 5 + [False]
    assert "it shows a rider in pink" in rows[2].why and originals.given_folder("  ", "unused") is None


def test_files_are_read_and_their_mark_is_found(blog_folder):
    ours = {"example.mp4": video.write_mp4(noise_clips(1)["0.mp4"], blog_folder / "ours.mp4")}
    rows = ledger.file_rows(originals.given_folder(str(blog_folder), "unused"), ours)
    assert rows[0].why.endswith("; here: h264, 128x128, 6 frames, 8 fps, 0.75 s.") and "here" not in rows[1].why
    assert "another file than the blog's of April 2024; mpeg4, 128x128, 6 frames, 8 fps, 0.75 s" in rows[0].why
    assert ["; a mark" in row.why for row in rows] == [True] * 5 + [False]
    assert {row.verdict for row in rows} == {verdicts.MEASURED} and rows[0].fps == 8 and rows[0].frames == 6
    assert rows[0].sha256 == files.sha256(blog_folder / "example.mp4")


def test_the_blogs_own_file_is_known_by_its_hash(blog_folder, monkeypatch):
    digest = files.sha256(blog_folder / "example.mp4")
    known = (replace(published.RUNS[0], sha256=digest), *published.RUNS[1:])
    monkeypatch.setattr(ledger, "RUNS", known)
    why = ledger.file_rows(blog_folder)[0].why
    assert why.startswith("the very file of the blog; mpeg4, 128x128") and "; stored before: mpeg4, 256x256" in why
    same = {file: replace(read) for file, read in originals.read_off(blog_folder).items()}
    monkeypatch.setattr(ledger, "stored", lambda: same)
    assert "stored before" not in ledger.file_rows(blog_folder)[0].why


def test_a_file_that_is_no_video_is_named(blog_folder):
    (blog_folder / "example1.mp4").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"example1\.mp4 gives 0 of 0 frames"):
        ledger.file_rows(blog_folder)


def test_a_ledger_is_written_as_page_and_json_and_read_again(tmp_path, six):
    rows = [ledger.video_row("as published", made, name="film 1.mp4") for made in six] + [ROW]
    as_json, as_html = ledger.write(rows, tmp_path / "new")
    assert ledger.read(as_json) == rows
    page = as_html.read_text(encoding="utf-8")
    assert page.count('class="verdict"') == 7 and 'src="film%201.mp4"' in page and rows[0].sha256[:12] in page
    assert not re.search(r'(src|href)="https?:', page), "the page fetches nothing"


def test_the_page_shows_words_as_words(tmp_path):
    _, as_html = ledger.write([replace(ROW, why="<b>5 < 6</b>")], tmp_path)
    assert "&lt;b&gt;5 &lt; 6&lt;/b&gt;" in as_html.read_text(encoding="utf-8")


def test_a_ledger_without_rows_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="rows is empty: a ledger has at least one"):
        ledger.write([], tmp_path)
    assert not any(tmp_path.iterdir())


def test_if_one_file_cannot_be_written_neither_is(tmp_path):
    (tmp_path / "ledger.html").mkdir()
    with pytest.raises(IsADirectoryError, match="ledger.html is a folder"):
        ledger.write([ROW], tmp_path)
    assert not (tmp_path / "ledger.json").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"rows": 1}', '{"rows": [{"kind": "claim"}]}', '{"rows": [{"x": 1}]}'])
def test_what_is_no_ledger_is_refused(tmp_path, text):
    (tmp_path / "ledger.json").write_text(text)
    with pytest.raises(ValueError, match=r"ledger\.json is not a ledger"):
        ledger.read(tmp_path / "ledger.json")


def test_a_missing_ledger_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist: `blog.write` makes it"):
        ledger.read(tmp_path / "ledger.json")


def test_json_keeps_every_field_of_a_row(tmp_path):
    as_json, _ = ledger.write([ROW], tmp_path)
    assert json.loads(as_json.read_text())["rows"][0] == {name: getattr(ROW, name) for name in ROW.__dataclass_fields__}


def test_text_and_counts_tell_the_verdicts():
    rows = [ROW, replace(ROW, verdict=verdicts.NOT_RUN, subject="x" * 80), ROW]
    assert ledger.counts(rows) == {verdicts.HOLDS: 2, verdicts.NOT_RUN: 1}
    lines = ledger.text(rows).splitlines()
    assert lines[0].endswith("holds") and lines[1] == "    20 frames became 40." and "…" in lines[2]
