"""The ledger: the blog's calls on a toy pipeline, its draws, what is compared, and what the page and the JSON hold."""

import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, LMSDiscreteScheduler, PNDMScheduler

from t2v_helpers import cartoon
from t2v_helpers.core import files, video
from t2v_helpers.course import blog
from t2v_helpers.model import swapping

SHORT = tuple(replace(run, steps=4, frames=3) for run in blog.RUNS)
ROW = blog.Row("claim", "more frames: words", blog.HOLDS, "20 frames became 40.")


@pytest.fixture(scope="module")
def published(toy_pipe):
    return list(blog.as_published(toy_pipe, SHORT))


@pytest.fixture(scope="module")
def controlled(toy_pipe):
    return list(blog.controlled(toy_pipe, SHORT))


def noise_clips(count: int = 6, f: int = 6, size: int = 128) -> dict[str, np.ndarray]:
    """Clips of grey noise that is another one in every frame: a scene that moves."""
    rng = np.random.default_rng(0)
    return {f"{i}.mp4": rng.integers(60, 200, (f, size, size, 3), dtype=np.uint8) for i in range(count)}


def stamped(clip: np.ndarray, top: int = 80) -> np.ndarray:
    """The clip with one word, half through, in the same place in all frames."""
    word = 255 - video.label(clip[0], "watermark")[: video.BAR].astype(float)  # [22 w 3], dark is word
    marked = clip.astype(float)
    marked[:, top : top + video.BAR] += 0.4 * word / 255 * (255 - marked[:, top : top + video.BAR])
    return marked.round().astype(np.uint8)


def write_mp4v(frames: np.ndarray, path) -> None:
    """A file as the blog's were written: MPEG-4 by OpenCV, 8 frames a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 8, frames.shape[2:0:-1])
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


@pytest.fixture
def blog_folder(tmp_path):
    """Six files as the blog's: the last one without a mark."""
    folder = tmp_path / "blog"
    folder.mkdir()
    for run, clip in zip(blog.RUNS, noise_clips().values(), strict=True):
        write_mp4v(clip if run is blog.RUNS[-1] else stamped(clip), folder / run.file)
    return folder


# --- what the blog did


def test_the_cartoon_world_knows_every_word_of_the_blogs_prompts():
    for run in blog.RUNS:
        assert cartoon.unknown_words(run.prompt) == [] and cartoon.parse(run.prompt)


def test_as_published_is_what_the_blogs_own_lines_give(hub_pipe):
    """The blog's lines, on a toy with the published configs: one generator, four schedulers by from_config."""
    runs = [replace(run, steps=3, frames=1) for run in blog.RUNS]
    generator, own = torch.Generator(device=hub_pipe.device).manual_seed(1234), hub_pipe.scheduler
    others = {"ddim": None, "dpm++": DPMSolverMultistepScheduler, "lms": LMSDiscreteScheduler, "pndm": PNDMScheduler}
    for made, run in zip(blog.as_published(hub_pipe, runs), runs, strict=True):
        try:
            cls = others[run.scheduler]
            hub_pipe.scheduler = cls.from_config(own.config) if cls else own
            frames = hub_pipe(run.prompt, generator=generator, num_inference_steps=3, num_frames=1).frames
        finally:
            hub_pipe.scheduler = own
        np.testing.assert_array_equal(made.frames, (frames[0] * 255).round().astype(np.uint8))


def test_published_videos_start_from_draws_1_to_6_and_controlled_ones_from_draw_1(published, controlled):
    assert [made.draw for made in published] == [1, 2, 3, 4, 5, 6] and {made.draw for made in controlled} == {1}


def test_the_second_draw_is_the_second_part_of_the_stream(toy_pipe, published):
    shape = (1, toy_pipe.unet.config.in_channels, 3, 8, 8)  # [b c f h w]
    generator = torch.Generator().manual_seed(blog.SEED)
    draws = [torch.randn(shape, generator=generator) for _ in range(2)]
    with swapping.swapped_scheduler(toy_pipe, "dpm++"):
        frames = toy_pipe(blog.MONKEY, latents=draws[1], num_inference_steps=4, num_frames=3,
                          guidance_scale=published[1].record.spec.guidance).frames[0]  # fmt: skip
    np.testing.assert_array_equal(published[1].frames, (frames * 255).round().astype(np.uint8))


def test_only_the_first_video_is_the_same_both_ways(published, controlled):
    verdicts = [blog.compare(p.frames, c.frames)[0] for p, c in zip(published, controlled, strict=True)]
    assert verdicts[0] == blog.SAME_BITS and blog.SAME_BITS not in verdicts[1:]


def test_a_run_that_the_model_cannot_take_is_refused_before_computing(toy_pipe):
    with pytest.raises(ValueError, match="frames=0 is not allowed"):
        list(blog.controlled(toy_pipe, [replace(SHORT[0], frames=0)]))


def test_calls_a_second_count_the_unets_calls(published):
    pndm = published[3]
    assert pndm.calls_per_second * pndm.record.seconds == pytest.approx(5)  # 4 steps, and one more


def test_an_unknown_claim_is_refused():
    assert blog.claim("block").words.startswith("these operations")
    with pytest.raises(ValueError, match="name='blok' is no claim: use one of first lines, block"):
        blog.claim("blok")


# --- comparing


def test_verdicts_follow_the_size_of_the_difference():
    a = np.full((2, 4, 4, 3), 100, np.uint8)
    b, c = a.copy(), a.copy()
    b[0, 0, 0, 0], c[0, 0, 0, 0] = 98, 150
    assert blog.compare(a, a) == (blog.SAME_BITS, "no pixel differs")
    assert blog.compare(a, b)[0] == blog.SAME_ROUNDING and blog.compare(a, c)[0] == blog.ANOTHER
    assert blog.compare(a, a[:1]) == (
        blog.ANOTHER, "2 frames of 4x4 here, 1 frames of 4x4 there: pixels cannot be compared",
    )  # fmt: skip


def test_a_compressed_copy_is_the_same_picture_and_another_seed_is_not(tmp_path):
    clips = [video.enlarge(cartoon.item(0, i).frames, 4) for i in (0, 1)]
    write_mp4v(clips[0], tmp_path / "a.mp4")
    back = video.read_mp4(tmp_path / "a.mp4")
    assert blog.compare(clips[0], back, compressed=True)[0] == blog.SAME_PICTURE
    assert blog.compare(clips[1], back, compressed=True)[0] == blog.ANOTHER
    assert blog.compare(clips[0], back)[0] == blog.ANOTHER, "without the word, loss is no excuse"


def test_grey_levels_are_a_mean_and_ask_for_one_shape():
    a = np.zeros((1, 2, 2, 3), np.uint8)
    assert blog.grey_levels(a, a + 200) == 200 == blog.grey_levels(a + 200, a)
    with pytest.raises(ValueError, match="1 frames of 2x2 and 1 frames of 1x2, but must have one shape"):
        blog.grey_levels(a, a[:, :1])


def test_the_judge_says_whether_the_words_came_true(published):
    drawn, _ = cartoon.render(cartoon.parse(blog.ROBOT), seed=0)
    right = replace(published[4], generation=replace(published[4].generation, frames=drawn))
    assert blog.in_words(right) == (
        blog.SAME_WORDS, "the judge reads all that was asked: robot, dancing, times square, plain",
    )  # fmt: skip
    drawn, _ = cartoon.render(cartoon.parse("a robot is dancing in a forest"), seed=0)
    verdict, why = blog.in_words(replace(right, generation=replace(right.generation, frames=drawn)))
    assert verdict == blog.OTHER_WORDS and why.endswith("place times square asked, forest read")


def test_what_stands_in_for_the_blogs_setup_is_named(published):
    said = blog.substitutions(published[0].record)
    assert "model toy, not modelscope; pixels 64x64, not 256x256; guidance 4, not 9" in said and "a CPU" in said
    spec = replace(published[0].record.spec, height=256, width=256, guidance=9.0)
    there = replace(published[0].record, spec=spec, model="modelscope", device="cuda", versions={"torch": "2.1.1"})
    assert blog.substitutions(there) == ""


# --- the blog's own files


def test_without_files_the_rows_say_how_to_give_them():
    rows = blog.file_rows(blog.given_folder(None, "unused"))
    assert len(rows) == 6 and {row.verdict for row in rows} == {blog.NO_FILES}
    assert "T2V_BLOG_VIDEOS" in rows[0].why and blog.given_folder("  ", "unused") is None


def test_files_are_read_and_their_mark_is_found(blog_folder):
    ours = {"example.mp4": video.write_mp4(noise_clips(1)["0.mp4"], blog_folder / "ours.mp4")}
    rows = blog.file_rows(blog.given_folder(str(blog_folder), "unused"), ours)
    assert rows[0].why.endswith("; here: h264, 128x128, 6 frames, 8 fps, 0.75 s.") and "here" not in rows[1].why
    assert "another file than the blog's of April 2024; mpeg4, 128x128, 6 frames, 8 fps, 0.75 s" in rows[0].why
    assert ["; a mark" in row.why for row in rows] == [True] * 5 + [False]
    assert {row.verdict for row in rows} == {blog.MEASURED} and rows[0].fps == 8 and rows[0].frames == 6
    assert rows[0].sha256 == files.sha256(blog_folder / "example.mp4")


def test_the_blogs_own_file_is_known_by_its_hash(blog_folder, monkeypatch):
    digest = files.sha256(blog_folder / "example.mp4")
    known = (replace(blog.RUNS[0], sha256=digest), *blog.RUNS[1:])
    monkeypatch.setattr(blog, "RUNS", known)
    assert blog.file_rows(blog_folder)[0].why.startswith("the very file of the blog; ")


def test_bad_folders_are_refused(tmp_path, blog_folder):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist: set T2V_BLOG_VIDEOS"):
        blog.given_folder(str(tmp_path / "nowhere"), "unused")
    with pytest.raises(NotADirectoryError, match=r"example\.mp4 is a file: set T2V_BLOG_VIDEOS"):
        blog.check_folder(blog_folder / "example.mp4")
    (blog_folder / "example2.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"blog lacks example2\.mp4: the blog's files are at https"):
        blog.check_folder(blog_folder)


def test_a_file_that_is_no_video_is_named(blog_folder):
    (blog_folder / "example1.mp4").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"example1\.mp4 gives 0 of 0 frames, so it is damaged or no video"):
        blog.file_rows(blog_folder)


def test_files_are_fetched_once_and_only_videos_are_kept(blog_folder, tmp_path):
    here = tmp_path / "here"
    assert blog.fetch(here, blog_folder.as_uri()) == here == blog.check_folder(here)
    (blog_folder / "example.mp4").write_bytes(b"changed meanwhile")
    assert blog.fetch(here, blog_folder.as_uri()) == here, "what is there is not fetched again"
    with pytest.raises(ValueError, match="damaged or no video"):
        blog.fetch(tmp_path / "other", blog_folder.as_uri())
    assert not any((tmp_path / "other").iterdir())


def test_without_a_network_fetching_says_what_to_do(tmp_path):
    with pytest.raises(ConnectionError, match=r"example\.mp4 did not come .*: fetch it by hand"):
        blog.fetch(tmp_path / "here", (tmp_path / "nothing").as_uri())


# --- rows


def test_rows_know_their_words():
    with pytest.raises(ValueError, match="kind='guess' is unknown: use one of as published"):
        replace(ROW, kind="guess")
    with pytest.raises(ValueError, match="verdict='fine' is unknown: use one of same bits"):
        replace(ROW, verdict="fine")
    with pytest.raises(ValueError, match="subject and why must say something"):
        replace(ROW, why=" ")


def test_a_video_row_holds_what_was_asked_and_found(published):
    row = blog.video_row("as published", published[1], name="a.mp4")
    assert (row.subject, row.scheduler, row.draw, row.steps, row.frames, row.fps) == (
        "example1.mp4",
        "dpm++",
        2,
        4,
        3,
        8,
    )
    assert row.sha256 == published[1].record.frames_sha256 and "torch" in row.versions and row.seconds > 0
    assert row.verdict in (blog.SAME_WORDS, blog.OTHER_WORDS) and "model toy, not modelscope" in row.why


def test_a_video_that_the_judge_cannot_read_is_held_against_the_file_if_there_is_one(hub_pipe):
    (made,) = blog.controlled(hub_pipe, [replace(SHORT[0], steps=2, frames=1)])
    assert made.frames.shape == (1, 256, 256, 3)
    assert blog.video_row("controlled", made).verdict == blog.NO_FILES
    near = made.frames ^ 1  # every pixel one grey level off
    assert blog.video_row("controlled", made, theirs=near).verdict == blog.SAME_PICTURE
    assert blog.video_row("controlled", made, theirs=255 - made.frames).verdict == blog.ANOTHER


# --- writing and reading


def test_a_ledger_is_written_as_page_and_json_and_read_again(tmp_path, published):
    rows = [blog.video_row("as published", made, name="film 1.mp4") for made in published] + [ROW]
    as_json, as_html = blog.write(rows, tmp_path / "new")
    assert blog.read(as_json) == rows
    page = as_html.read_text(encoding="utf-8")
    assert page.count("<tr><td>") == 7 and 'src="film%201.mp4"' in page and rows[0].sha256[:12] in page
    assert not re.search(r'(src|href)="https?:', page), "the page fetches nothing"


def test_the_page_shows_words_as_words(tmp_path):
    _, as_html = blog.write([replace(ROW, why="<b>5 < 6</b>")], tmp_path)
    assert "&lt;b&gt;5 &lt; 6&lt;/b&gt;" in as_html.read_text(encoding="utf-8")


def test_a_ledger_without_rows_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="rows is empty: a ledger has at least one"):
        blog.write([], tmp_path)
    assert not any(tmp_path.iterdir())


def test_if_one_file_cannot_be_written_neither_is(tmp_path):
    (tmp_path / "ledger.html").mkdir()
    with pytest.raises(IsADirectoryError, match="ledger.html is a folder"):
        blog.write([ROW], tmp_path)
    assert not (tmp_path / "ledger.json").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"rows": 1}', '{"rows": [{"kind": "claim"}]}', '{"rows": [{"x": 1}]}'])
def test_what_is_no_ledger_is_refused(tmp_path, text):
    (tmp_path / "ledger.json").write_text(text)
    with pytest.raises(ValueError, match=r"ledger\.json is no ledger"):
        blog.read(tmp_path / "ledger.json")


def test_a_missing_ledger_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist: `blog.write` makes it"):
        blog.read(tmp_path / "ledger.json")


def test_json_keeps_every_field_of_a_row(tmp_path):
    as_json, _ = blog.write([ROW], tmp_path)
    assert json.loads(as_json.read_text())["rows"][0] == {name: getattr(ROW, name) for name in ROW.__dataclass_fields__}


def test_text_and_counts_tell_the_verdicts():
    rows = [ROW, replace(ROW, verdict=blog.NOT_RUN, subject="x" * 80), ROW]
    assert blog.counts(rows) == {blog.HOLDS: 2, blog.NOT_RUN: 1}
    lines = blog.text(rows).splitlines()
    assert lines[0].endswith("holds") and lines[1] == "    20 frames became 40." and "…" in lines[2]


def test_a_clip_needs_clips_of_other_prompts_to_be_searched_for_marks():
    clips = noise_clips(2)
    with pytest.raises(ValueError, match="others hold 0 clips; at least one is needed"):
        blog.marks(clips, dict.fromkeys(clips, "one prompt"))


@pytest.mark.parametrize("prompts", [None, {}, {"0": "a dog"}])
def test_a_clip_needs_its_prompt_to_be_searched_for_marks(prompts):
    clips = dict(zip("01", noise_clips(2).values(), strict=True))
    with pytest.raises(ValueError, match="prompts lacks .*1: give the prompt of each clip"):
        blog.marks(clips, prompts)


@pytest.mark.parametrize("theirs", [None, [], np.zeros((2, 8, 8, 3))])
def test_what_is_no_video_is_not_compared(theirs):
    with pytest.raises(ValueError, match="uint8"):
        blog.compare(np.zeros((2, 8, 8, 3), np.uint8), theirs)
