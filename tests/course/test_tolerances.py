"""A run is held against the committed tolerances: what is inside passes, and each thing that can be off is named."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from t2v_helpers.core import video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.course import blog, costs, tolerances
from t2v_helpers.course.blog import verdicts
from t2v_helpers.model import generate, loading

SPEC = GenerationSpec("a robot is dancing in times square", seed=1234, steps=2, frames=2)
RESULT = {"notebook": "00_start_here", "cells": 20, "seconds": 60.0, "peak_memory_mib": 1024.0, "error": ""}
ROW = blog.Row("controlled", "example.mp4", blog.SAME_WORDS, "as asked", video="example.mp4")
SMALL = {"videos": {"least": 1}}  # the real limit counts thirteen


@pytest.fixture(scope="module")
def made():
    return generate.generate(loading.load("cartoon", device="cpu", quiet=True), SPEC)


def leave(outputs: Path, made, result=RESULT, row=ROW, frames=None) -> Path:
    """The outputs of a run of one notebook with one video, and a ledger of one row."""
    generate.save(made if frames is None else generate.Generation(frames, made.record), outputs / "00_robot.mp4")
    (outputs / "run.json").write_text(json.dumps({"notebooks": [result]}))
    blog.write([row], outputs / "11_ledger")
    return outputs


def outside(outputs: Path, model: str = "cartoon") -> list[str]:
    allowed = tolerances.limits(model)
    allowed["videos"] |= SMALL["videos"]
    return tolerances.report(tolerances.measure(outputs, model), allowed)[1]


@pytest.mark.parametrize("model", costs.MODELS)
def test_what_is_right_is_inside(made, tmp_path, model):
    assert outside(leave(tmp_path, made), model) == []


def test_the_videos_of_the_whole_course_are_asked_for(made, tmp_path):
    found = tolerances.measure(leave(tmp_path, made), "modelscope")
    assert tolerances.report(found, tolerances.limits("modelscope"))[1] == ["videos"]


@pytest.mark.parametrize(
    "off, name",
    [
        ({"error": "cell 3 of 20: ValueError"}, "failed notebooks"),
        ({"seconds": 3601.0}, "minutes"),
        ({"peak_memory_mib": 25 * 1024.0}, "memory in GiB"),
    ],
)
@pytest.mark.parametrize("model", costs.MODELS)
def test_a_run_that_is_off_is_outside(made, tmp_path, off, name, model):
    assert outside(leave(tmp_path, made, RESULT | off), model) == [name]


def test_other_words_are_outside(made, tmp_path):
    other = blog.Row("controlled", "example.mp4", verdicts.OTHER_WORDS, "a cat", video="example.mp4")
    assert outside(leave(tmp_path, made, row=other)) == ["same words"]


def test_a_black_video_has_no_contrast_and_is_another(made, tmp_path):
    assert outside(leave(tmp_path, made, frames=np.zeros_like(made.frames))) == ["contrast", "grey levels"]


def test_another_seeds_video_is_another(made, tmp_path):
    pipe = loading.load("cartoon", device="cpu", quiet=True)
    other = generate.generate(pipe, GenerationSpec(SPEC.prompt, seed=1235, steps=2, frames=2))
    assert outside(leave(tmp_path, made, frames=other.frames)) == ["grey levels"]


def test_the_file_alone_is_well_inside(made, tmp_path):
    outputs = leave(tmp_path, made)
    off = tolerances.from_the_cpu(video.read_mp4(outputs / "00_robot.mp4"), made.record)
    assert (
        0 < off < tolerances.limits("cartoon")["grey levels"]["most"] / 2
    )  # H.264 is lossy; another device adds to it


def test_each_line_says_what_was_found_and_allowed():
    text, off = tolerances.report({"minutes": 3.0}, {"minutes": {"most": 2, "means": "the slowest"}})
    assert text == "OUTSIDE minutes: 3 (at most 2): the slowest" and off == ["minutes"]
    assert tolerances.report({}, {"videos": {"least": 1, "means": "all"}})[1] == ["videos"]  # not measured


def test_every_limit_has_a_side_and_words_and_is_measured(made, tmp_path):
    leave(tmp_path, made)
    for model in costs.MODELS:
        allowed = tolerances.limits(model)
        assert all(re.fullmatch("least|most", side) for limit in allowed.values() for side in set(limit) - {"means"})
        assert all(len(limit) == 2 and limit["means"] for limit in allowed.values())
        assert set(allowed) == set(tolerances.measure(tmp_path, model))


def test_the_command_says_by_its_status_what_it_found(made, tmp_path, capsys):
    assert tolerances.main(["--outputs", str(leave(tmp_path, made)), "--model", "modelscope"]) == 1
    assert "OUTSIDE videos: 1 (at least 13)" in capsys.readouterr().out


def test_what_is_missing_is_named(made, tmp_path):
    with pytest.raises(ValueError, match="model='sora' is unknown"):
        tolerances.limits("sora")
    with pytest.raises(FileNotFoundError, match="run.json does not exist: run the notebooks first"):
        tolerances.measure(tmp_path, "cartoon")
    with pytest.raises(FileNotFoundError, match="holds no video with its record"):
        tolerances.recorded(tmp_path)
    (leave(tmp_path, made) / "11_ledger" / "ledger.json").unlink()
    with pytest.raises(FileNotFoundError, match="ledger.json"):
        tolerances.measure(tmp_path, "cartoon")
