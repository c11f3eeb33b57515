"""Where two runs part: rounding is forgiven, and nothing else."""

import pytest
import torch

from t2v_helpers.course.parting import ROUNDING, first_apart

RIGHT = {"text": torch.tensor([1.0, -2.0]), "latents": torch.arange(4.0), "pixels": torch.tensor([0, 255]).byte()}


@pytest.mark.parametrize(
    ("changed", "stage"),
    [
        ({}, None),
        ({"latents": RIGHT["latents"] + ROUNDING}, None),  # within a thousandth of 3
        ({"latents": RIGHT["latents"] + 4 * ROUNDING}, "latents"),
        ({"text": RIGHT["text"].flip(0), "latents": RIGHT["latents"] + 1}, "text"),
        ({"text": torch.tensor([1.1, -2.1])}, "text"),  # the signed differences cancel
        ({"latents": RIGHT["latents"][None]}, "latents"),
        ({"latents": torch.tensor([0, 1, 2, torch.nan])}, "latents"),
        ({"latents": torch.tensor([0, 1, 2, torch.inf])}, "latents"),
        ({"pixels": torch.tensor([1, 255]).byte()}, "pixels"),
        ({"pixels": torch.tensor([255, 255]).byte()}, "pixels"),  # 0 - 255 is 1 in uint8
    ],
)
def test_the_first_stage_that_differs_is_named(changed, stage):
    assert first_apart(RIGHT, RIGHT | changed) == stage


def test_a_missing_stage_differs_and_two_broken_runs_may_agree():
    broken = {"text": torch.tensor([torch.nan, 1.0])}
    assert first_apart(broken, dict(broken)) is None and first_apart(RIGHT, broken) == "text"
    assert first_apart(RIGHT, {"text": RIGHT["text"]}) == "latents"
    nothing = {"text": torch.tensor([torch.nan])}
    assert first_apart(nothing, dict(nothing)) is None


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (([], RIGHT), "right is of type list"),
        ((RIGHT, 3), "wrong is of type int"),
        (({}, RIGHT), "right is empty"),
    ],
)
def test_bad_input_is_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        first_apart(*arguments)
