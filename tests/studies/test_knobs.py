"""knobs: one knob at a time, measures that mean what they say, and the committed table of the shipped model."""

import re

import cv2
import numpy as np
import pytest

from t2v_helpers import metrics
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import tracing
from t2v_helpers.metrics import power
from t2v_helpers.model import generate, validation
from t2v_helpers.studies import knobs

FEW = {"steps": [1, 2], "guidance": [1, 4], "frames": [1, 2, 8], "size": [32, 64]}


@pytest.fixture(scope="module")
def line(toy_pipe):
    return knobs.line(toy_pipe, 3, FEW)


def test_the_base_is_in_every_row_of_the_grid():
    assert list(knobs.GRID) == list(knobs.BASE)
    assert all(knobs.BASE[knob] in values for knob, values in knobs.GRID.items())


@pytest.mark.parametrize("knob", knobs.GRID)
def test_one_knob_is_turned_and_the_others_stay(knob, toy_pipe):
    base, turned = knobs.spec_of("a dog", 1).to_dict(), knobs.spec_of("a dog", 1, knob, 32).to_dict()
    changed = {name for name in base if base[name] != turned[name]}
    assert changed == ({"height", "width"} if knob == "size" else {knob})
    for value in knobs.GRID[knob]:
        validation.check(toy_pipe, knobs.spec_of("a dog", 1, knob, value))


def test_an_unknown_knob_is_refused():
    with pytest.raises(ValueError, match="knob='speed'"):
        knobs.spec_of("a dog", 0, "speed", 2)


def test_a_line_holds_what_was_asked_and_found(line):
    assert line["seed"] == 3 and line["prompt"] == knobs.item_of(3).caption
    assert {knob: [*map(int, cells)] for knob, cells in line["found"].items()} == FEW
    assert line["found"]["guidance"]["4"] == line["found"]["frames"]["8"] == line["found"]["size"]["64"]
    assert line["found"]["guidance"]["1"] != line["found"]["guidance"]["4"]
    assert list(line["drawn"]) == ["frames", "size"] and list(line["drawn"]["size"]) == ["32", "64"]


def test_a_cell_is_the_measures_of_the_video_that_the_spec_asks_for(line, toy_pipe):
    made = generate.generate(toy_pipe, knobs.spec_of(line["prompt"], 3, "frames", 2)).frames
    cell = line["found"]["frames"]["2"]
    assert cell["flicker"] == pytest.approx(metrics.flicker(made), abs=1e-6)
    assert cell["sharpness"] == pytest.approx(metrics.sharpness(made), abs=0.01)
    assert cell["labels"] == metrics.digits(made, knobs.item_of(3).labels)
    assert line["found"]["frames"]["1"]["flicker"] is None


def test_a_video_is_brought_to_another_size():
    rng = np.random.default_rng(0)
    frames = cv2.GaussianBlur(rng.integers(0, 256, (64, 64, 3), np.uint8), (0, 0), 3)[None]  # [1 64 64 3]
    assert knobs.resized(frames) is frames
    there = knobs.resized(frames, 128)
    assert there.shape == (1, 128, 128, 3) and there.dtype == np.uint8
    assert np.abs(knobs.resized(there).astype(int) - frames).max() <= 4
    assert knobs.resized(np.full((2, 96, 96, 3), 7, np.uint8)).tolist() == np.full((2, 64, 64, 3), 7).tolist()


@pytest.mark.parametrize(
    ("colour", "wanted"), [((9, 9, 9), 0), ((200, 100, 150), 0.5), ((255, 0, 0), 1), ((0,) * 3, 0)]
)
def test_saturation_is_the_part_that_grey_is_missing(colour, wanted):
    assert knobs.saturation(np.full((2, 4, 4, 3), colour, np.uint8)) == wanted


def test_what_is_drawn_is_read_with_the_same_frames_and_pixels():
    words = [knobs.drawn_labels(seed, "frames", 1) for seed in range(8)]
    assert any(word[1] == "0" for word in words), "a still shows no direction, and the judge cannot guess all of them"
    assert {knobs.drawn_labels(seed, "size", 64) for seed in range(4)} == {"1111"}


# --- the table


def row(seed, labels, flicker, drawn="1111"):
    found = {"frames": {"8": {"labels": labels, "flicker": flicker}}}
    return {"seed": seed, "prompt": "", "found": found, "drawn": {"frames": {"8": drawn}}}


LINES = [row(0, "1111", 0.25), row(1, "1011", 0.75, drawn="0111")]


def test_shares_and_means_are_read_from_the_lines():
    assert knobs.adherence(LINES, "frames", 8).value == 0.5
    assert knobs.adherence(LINES, "frames", 8, "place").value == 1
    assert knobs.adherence(LINES, "frames", 8, "subject", "drawn").value == 0.5
    assert knobs.mean(LINES, "frames", 8, "flicker").value == 0.5


def test_what_the_table_lacks_is_said():
    with pytest.raises(ValueError, match="no 9 in found frames: it has 8"):
        knobs.adherence(LINES, "frames", 9)
    with pytest.raises(ValueError, match="'sharpness' of frames=8 was not measured"):
        knobs.mean(LINES, "frames", 8, "sharpness")
    with pytest.raises(ValueError, match="'flicker' of frames=8 was not measured"):
        knobs.mean([row(0, "1111", None)], "frames", 8, "flicker")


def test_the_committed_table_is_what_the_study_asks():
    lines = knobs.STUDY.load()
    assert len(knobs.summary(lines).splitlines()) == len(knobs.GRID)
    for line in lines:
        assert line["prompt"] == knobs.item_of(line["seed"]).caption
        assert {knob: [*map(int, cells)] for knob, cells in line["found"].items()} == knobs.GRID
        assert set(line["drawn"]) == set(knobs.DRAWN)


# --- what a knob costs, and when it is enough


@pytest.mark.parametrize(("guidance", "steps"), [(1.0, 2), (4.0, 3)])
def test_the_flops_of_a_video_are_those_that_are_counted_while_it_is_made(toy_pipe, guidance, steps):
    traces = tracing.trace_parts(toy_pipe.components, frames=4, height=32, width=32)
    spec = GenerationSpec("a dog", steps=steps, guidance=guidance, frames=4, height=32, width=32)
    counted = tracing.trace(toy_pipe.unet, call=lambda: generate.generate(toy_pipe, spec)).total.flops
    assert knobs.video_flops(traces, steps, 4, guidance) == pytest.approx(counted, rel=0.01)


def answers(wrong):
    return [False] * wrong + [True] * (knobs.SEEDS - wrong)


def test_enough_is_the_first_that_a_paired_test_does_not_distinguish_from_the_best():
    rising = [answers(wrong) for wrong in (20, 6, 5, 0)]  # 6 lost and none won: p = 2 / 2**6 = 0.03
    assert knobs.enough((1, 2, 4, 8), rising) == 4
    assert knobs.enough((8, 4, 2, 1), rising[::-1]) == 8
    assert knobs.against_best(rising)[1:] == pytest.approx([2 / 2**6, 2 / 2**5, 1])


def test_numbers_are_compared_seed_by_seed_and_the_lowest_may_be_the_best():
    flicker = np.random.default_rng(0).random(32)
    found = [flicker, flicker - 0.01 - 0.001 * flicker, flicker + 1]
    assert knobs.enough((1, 2, 4), found, lowest=True) == 2  # 0.01 lower in every seed, and far apart among the seeds
    assert knobs.enough((1, 2, 4), found) == 4


def test_seeds_are_as_asked_where_all_four_are():
    assert knobs.as_asked(LINES, "frames", 8) == [True, False]


def test_the_curves_leave_out_the_flicker_of_one_frame_and_have_the_control_where_there_is_one():
    lines = knobs.STUDY.load()
    shares, flicker, _ = knobs.curves(lines, "frames").values()
    assert set(shares) == {"videos", "drawings"}
    assert [value for value, _ in flicker["videos"]] == knobs.moving("frames") == list(knobs.GRID["frames"][1:])
    assert flicker["videos"][0][1].value == pytest.approx(100 * knobs.mean(lines, "frames", 2, "flicker").value)
    assert set(next(iter(knobs.curves(lines, "steps").values()))) == {"videos"}


@pytest.mark.parametrize("knob", knobs.GRID)
def test_a_table_compares_each_value_with_the_best_one_seed_by_seed(knob):
    lines = knobs.STUDY.load()
    head, *rows = knobs.table(lines, knob).splitlines()
    assert head.split()[0] == knob and [int(row.split()[0]) for row in rows] == list(knobs.GRID[knob])
    heard = [knobs.as_asked(lines, knob, value) for value in knobs.GRID[knob]]
    best = max(heard, key=sum)
    for row, found in zip(rows, heard, strict=True):
        pairs = power.Pairs.of(best, found)
        assert re.search(rf"{sum(found)} of {len(lines)} \(.*\) +{pairs.lost} +{pairs.won} ", row)


def test_a_table_of_labels_has_the_drawings_beside_the_videos():
    lines = knobs.STUDY.load()
    head, *rows = knobs.label_table(lines, "size").splitlines()
    assert head.endswith("drawings: action  drawings: all four") and len(rows) == len(knobs.GRID["size"])
    wanted = knobs.adherence(lines, "size", 64, "all four", "drawn").value
    assert rows[2].endswith(f"{wanted:.0%}") and rows[2].split()[0] == "64"
