"""checking: each check lets the right values through as they are, and names the argument and the value it refuses."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from t2v_helpers.core import checking

VIDEO = np.zeros((2, 4, 4, 3), np.uint8)


def test_right_values_come_back():
    assert checking.whole("steps", np.int64(3), most=3) == 3 and type(checking.whole("steps", np.int64(3))) is int
    assert checking.number("guidance", 4, 1, 4) == 4.0 and type(checking.number("guidance", 4)) is float
    assert checking.one_of("scheduler", "lms", ("ddim", "lms")) == "lms"
    assert checking.kind("prompt", "a dog", str, "a text") == "a dog"
    assert checking.frames(VIDEO, least=2) is VIDEO


@pytest.mark.parametrize("value", [0, 6, 1.0, True, "3", None, float("nan")])
def test_what_is_no_whole_number_in_range_is_refused(value):
    with pytest.raises(ValueError, match=r"^steps=.* from 1 to 5"):
        checking.whole("steps", value, 1, 5)


def test_without_a_most_the_least_is_named():
    with pytest.raises(ValueError, match="batch=-1 .* of 2 or more"):
        checking.whole("batch", -1, 2)


@pytest.mark.parametrize("value", [0.5, 101, float("nan"), float("inf"), True, "4", 1j])
def test_what_is_no_number_in_range_is_refused(value):
    with pytest.raises(ValueError, match=r"^guidance=.* from 1 to 100"):
        checking.number("guidance", value, 1, 100)


def test_an_infinite_number_is_never_allowed():
    with pytest.raises(ValueError, match="shift=inf .*a number"):
        checking.number("shift", float("inf"))


def test_without_limits_any_finite_number_is_right():
    assert [checking.number("shift", value) for value in (-1e300, 0, 1e300)] == [-1e300, 0, 1e300]
    with pytest.raises(ValueError, match="shift=-inf"):
        checking.number("shift", -float("inf"))


def test_a_path_is_a_text_that_is_not_empty_or_a_path():
    assert checking.path("out", "a/b") == checking.path("out", Path("a/b")) == Path("a/b")
    for value, said in (("", "out is empty: .*'.'"), (3, "out .* int"), (None, "out .* NoneType")):
        with pytest.raises(ValueError, match=said):
            checking.path("out", value)


def test_a_near_miss_is_named():
    with pytest.raises(ValueError, match="scheduler='DDIN' .*did you mean 'ddim'.*ddim, lms"):
        checking.one_of("scheduler", "DDIN", ("ddim", "lms"))


@pytest.mark.parametrize("value", ["quite other", None, 3, ["ddim"]])
def test_what_is_unknown_is_refused(value):
    with pytest.raises(ValueError, match="scheduler=.* is unknown: .*Use one of: ddim, lms"):
        checking.one_of("scheduler", value, ("ddim", "lms"))


def test_a_number_is_no_word_that_looks_alike():
    with pytest.raises(ValueError, match="n=1.0 is unknown"):
        checking.one_of("n", 1.0, (1, 2))


def test_another_kind_is_named():
    with pytest.raises(ValueError, match="specs is of type str: use a list"):
        checking.kind("specs", "a dog", list, "a list of specs")


@pytest.mark.parametrize(
    "value, found",
    [
        (VIDEO.astype(float), "float64"),
        (VIDEO[0], r"\[4, 4, 3\]"),
        (VIDEO[..., :1], r"4, 1\]"),
        ([VIDEO], r"\[1, 2, 4, 4, 3\]"),
        ([VIDEO, VIDEO[:1]], "array"),
    ],
)
def test_what_is_no_video_is_refused(value, found):
    with pytest.raises(ValueError, match=f"video is .*{found}.*uint8"):
        checking.frames(value, "video")


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="frames has 2 frames: use 3"):
        checking.frames(VIDEO, least=3)


def test_a_disk_with_too_little_room_is_refused(tmp_path):
    checking.room_on_disk(tmp_path / "not" / "there", 1, "a video")
    with pytest.raises(OSError, match="a film needs 1073741824.0 GiB"):
        checking.room_on_disk(tmp_path, 2**60, "a film")


def test_only_a_new_folder_or_one_of_its_kind_is_replaced(tmp_path):
    checking.replaceable(tmp_path / "new", "model_index.json", "the model")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="the model cannot replace .*holds files"):
        checking.replaceable(tmp_path, "model_index.json", "the model")
    (tmp_path / "model_index.json").touch()
    checking.replaceable(tmp_path, "model_index.json", "the model")


def test_the_working_folder_and_what_is_kept_are_never_replaced(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="runs would be lost"):
        checking.replaceable(tmp_path, "model_index.json", "the model", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="you are working in it"):
        checking.replaceable(tmp_path.parent, "model_index.json", "the model")


@pytest.mark.parametrize("frames", [VIDEO / 255, VIDEO[:0], None, SimpleNamespace(frames=VIDEO)])
def test_what_frames_are_is_said_of_a_generation_and_of_fractions(frames):
    with pytest.raises(ValueError, match=r"use uint8 \[f h w 3\], the \.frames .*\(255 \* x\)\.round\(\)"):
        checking.frames(frames)


@pytest.mark.parametrize("value", [
    "x" * 10_000, ["x" * 10_000] * 99, 10**5000, b"x" * 10_000, [[[["x" * 10_000] * 9] * 9] * 9] * 9,
    {"x" * 10_000: ["y" * 10_000] * 9}, np.zeros((99, 99)),
], ids=range(7))  # fmt: skip
def test_a_long_value_is_shown_in_short(value):
    with pytest.raises(ValueError) as caught:
        checking.whole("steps", value, 1, 1000)
    assert len(str(caught.value)) < 1000 and "\n" not in str(caught.value)


def test_of_a_long_value_both_ends_are_shown():
    shown = checking.shown([f"{i:0100}" for i in range(6)])
    assert shown.startswith(f"['{0:0100}'") and shown.endswith(f"{5:0100}']") and len(shown) == 503


def test_names_are_listed_in_short():
    assert checking.listed("steps", "seed") == "steps, seed"
    assert checking.listed(*"abcdefghij") == "a, b, c, d, e, f, g, h and 2 more"
    assert len(checking.listed(*["x" * 10_000] * 99)) < 1100 and "\n" not in checking.listed("a\nb")


def test_a_number_without_end_is_refused():
    with pytest.raises(ValueError, match="guidance="):
        checking.number("guidance", 10**400, 1, 100)


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        ({"a": 1, "b": [2]}, {"a": 1, "b": [2]}, ""),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "its b is 2, and here it is 3"),
        ({"a": 1}, {"a": 1, "b": None}, "its b is None, and here it is None"),
        ({"b": [0, 1]}, {"b": list(range(9))}, "its b is 0, 1, and here it is 0, 1 ... 8 (9 values)"),
    ],
)
def test_the_first_difference_is_named(there, here, said):
    assert checking.difference(there, here, here) == said
