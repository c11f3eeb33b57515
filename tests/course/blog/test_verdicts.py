"""Verdicts follow the difference of two videos, and what the judge reads."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from blog_clips import write_mp4v

from t2v_helpers import cartoon
from t2v_helpers.core import video
from t2v_helpers.course.blog import published, verdicts


def test_verdicts_follow_the_size_of_the_difference():
    a = np.full((2, 4, 4, 3), 100, np.uint8)
    b, c = a.copy(), a.copy()
    b[0, 0, 0, 0], c[0, 0, 0, 0] = 98, 150
    assert verdicts.compare(a, a) == (verdicts.SAME_BITS, "no pixel differs")
    assert verdicts.compare(a, b)[0] == verdicts.SAME_ROUNDING and verdicts.compare(a, c)[0] == verdicts.ANOTHER
    assert verdicts.compare(a, a[:1]) == (
        verdicts.ANOTHER, "2 frames of 4x4 here, 1 frames of 4x4 there: pixels cannot be compared",
    )  # fmt: skip


def test_a_compressed_copy_is_the_same_picture_and_another_seed_is_not(tmp_path):
    clips = [video.enlarge(cartoon.item(0, i).frames, 4) for i in (0, 1)]
    write_mp4v(clips[0], tmp_path / "a.mp4")
    back = video.read_mp4(tmp_path / "a.mp4")
    assert verdicts.compare(clips[0], back, compressed=True)[0] == verdicts.SAME_PICTURE
    assert verdicts.compare(clips[1], back, compressed=True)[0] == verdicts.ANOTHER
    assert verdicts.compare(clips[0], back)[0] == verdicts.ANOTHER, "without the word, loss is no excuse"


def test_grey_levels_are_a_mean_and_ask_for_one_shape():
    a = np.zeros((1, 2, 2, 3), np.uint8)
    assert verdicts.grey_levels(a, a + 200) == 200 == verdicts.grey_levels(a + 200, a)
    with pytest.raises(ValueError, match=r"\(1, 2, 2, 3\) and \(1, 1, 2, 3\): use two of one shape"):
        verdicts.grey_levels(a, a[:, :1])


def test_the_judge_says_whether_the_words_came_true(six):
    drawn, _ = cartoon.render(cartoon.parse(published.ROBOT), seed=0)
    right = replace(six[4], generation=replace(six[4].generation, frames=drawn))
    assert verdicts.in_words(right) == (
        verdicts.SAME_WORDS, "the judge reads all that was asked: robot, dancing, times square, plain",
    )  # fmt: skip
    drawn, _ = cartoon.render(cartoon.parse("a robot is dancing in a forest"), seed=0)
    verdict, why = verdicts.in_words(replace(right, generation=replace(right.generation, frames=drawn)))
    assert verdict == verdicts.OTHER_WORDS and why.endswith("place times square asked, forest read")


def test_what_stands_in_for_the_blogs_setup_is_named(six):
    said = verdicts.substitutions(six[0].record)
    assert "model toy, not modelscope; pixels 64x64, not 256x256; guidance 4, not 9" in said and "a CPU" in said
    spec = replace(six[0].record.spec, height=256, width=256, guidance=9.0)
    there = replace(six[0].record, spec=spec, model="modelscope", device="cuda", versions={"torch": "2.1.1"})
    assert verdicts.substitutions(there) == ""


@pytest.mark.parametrize("theirs", [None, [], np.zeros((2, 8, 8, 3))])
def test_what_is_no_video_is_not_compared(theirs):
    with pytest.raises(ValueError, match="uint8"):
        verdicts.compare(np.zeros((2, 8, 8, 3), np.uint8), theirs)


def test_causes_are_told_apart_run_by_run():
    def clip(level):
        return SimpleNamespace(frames=np.full((1, 2, 2, 3), level, np.uint8))

    found = verdicts.causes([clip(0), clip(30), clip(60)], [clip(0), clip(29), clip(58)])
    assert found == {"both at once": [30, 60], "noise alone": [1, 2], "scheduler alone": [29, 58]}
