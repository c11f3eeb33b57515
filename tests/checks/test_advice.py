"""How an answer is judged: the first advice of a check ends it, and each mistake gets the advice that fits."""

import pytest
import torch

from t2v_helpers.checks import advice
from t2v_helpers.checks.advice import Verdict


def test_a_verdict_reads_as_a_sentence_and_is_true_when_right():
    assert repr(Verdict(True, "Good.")) == "Right. Good." and Verdict(True, "Good.")
    assert repr(Verdict(False, "No.")) == "Not yet. No." and not Verdict(False, "No.")


def test_the_first_advice_of_a_check_ends_it():
    @advice.judge
    def check(answer):
        """Ask for a number above 0."""
        yield advice.whole_advice("f", answer, "one place")
        yield "Go up." if answer < 1 else None
        return f"{answer} is above 0."

    assert check(2) == Verdict(True, "2 is above 0.") and check(0) == Verdict(False, "Go up.")
    assert "gave back nothing" in check(...).word and "an int, is wanted" in check("2").word
    assert check.__doc__ == "Ask for a number above 0."


def test_an_error_inside_an_answer_is_shown():
    @advice.judge
    def check(answer):
        yield advice.nothing_from("f", answer())
        return "It ran."

    assert check(lambda: 1)
    with pytest.raises(ZeroDivisionError):
        check(lambda: 1 / 0)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (None, "gave back nothing"),
        (..., "gave back nothing"),
        (3.0, "gave back a float"),
        (torch.zeros(2), "gave back the shape [2]"),
        (torch.full((2, 3), torch.nan), "NaN or infinity"),
        (torch.ones(2, 3), "all ones"),
        (torch.full((2, 3), 7.0), "something else"),
    ],
)
def test_a_tensor_is_judged_with_the_word_that_fits(given, word):
    said = advice.tensor_advice("f", given, torch.zeros(2, 3), {"all ones": torch.ones(2, 3)}, "something else")
    assert word in said


def test_a_right_tensor_needs_no_advice():
    assert advice.tensor_advice("f", torch.zeros(2, 3), torch.zeros(2, 3), {}, "otherwise") is None
