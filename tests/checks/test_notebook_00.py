"""The checks of notebook 00: what is wrong with an answer is said in its own word."""

from dataclasses import replace

import numpy as np
import pytest

from t2v_helpers import cartoon, checks
from t2v_helpers.core.records import GenerationSpec

RIGHT = GenerationSpec("a cat is spinning by a lake as a pencil sketch", seed=7, steps=10)


@pytest.mark.parametrize(
    "prompt",
    ["A cat spinning near the lake drawn with a pencil", "a cartoon of a CAT spinning by a lake, as a pencil drawing"],
)
def test_check_00_1_takes_any_wording(prompt):
    assert checks.check_00_1(replace(RIGHT, prompt=prompt))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"prompt": "a dog is spinning by a lake as a pencil sketch"}, "the subject 'dog'"),
        ({"prompt": "a cat is jumping by a lake as a pencil sketch"}, "the action 'jumping'"),
        ({"prompt": "a cat is spinning as a pencil sketch"}, "the place 'room'"),
        ({"prompt": "a cat spins by a lake"}, "spins"),
        ({"prompt": "a cat"}, "an action"),
        ({"steps": 25}, "steps is 25"),
    ],
)
def test_check_00_1_names_the_field(changes, word):
    verdict = checks.check_00_1(replace(RIGHT, **changes))
    assert not verdict and word in verdict.word


@pytest.mark.parametrize("give", [None, ...])
def test_an_untouched_stub_is_told_where_to_write(give):
    assert "three dots" in checks.check_00_1(give).word and "three dots" in checks.check_00_3(give).word
    assert "gave back nothing" in checks.check_00_2(lambda frames: give).word


def test_check_00_2_falls_back_to_an_example():
    verdict = checks.check_00_2(lambda frames: np.zeros(len(frames) - 1))
    assert not verdict and "should be 180" in verdict.word


@pytest.mark.parametrize(
    ("prompt", "word"),
    [(7, "the type int"), ("", "a subject"), ("a dog and a cat dancing on the moon", "name one subject")],
)
def test_check_00_3_names_what_is_wrong(prompt, word):
    verdict = checks.check_00_3(prompt)
    assert not verdict and word in verdict.word


def test_check_00_3_takes_every_other_held_out_sentence_in_every_style():
    held_out = [c for c in cartoon.combinations() if cartoon.is_held_out(c)]
    right = [c for c in held_out if checks.check_00_3(cartoon.caption(c))]
    assert len(right) == len(held_out) - len(cartoon.STYLES), "all but the robot in Times Square, in its four styles"
