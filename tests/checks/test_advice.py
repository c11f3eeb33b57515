"""How an answer is judged: the first advice of a check ends it, and each mistake gets the advice that fits."""

import ast
import inspect

import pytest
import torch

from t2v_helpers import checks
from t2v_helpers.checks import advice
from t2v_helpers.checks.advice import Verdict

CHECKS = {name.removeprefix("check_"): check for name, check in vars(checks).items() if name.startswith("check_")}


@pytest.mark.parametrize("exercise", CHECKS)
def test_advice_json_has_each_name_that_a_check_uses_and_no_other(exercise):
    code = ast.parse(inspect.getsource(CHECKS[exercise]))
    dicts = [node for node in ast.walk(code) if isinstance(node, ast.Dict)]
    mistakes = {key.value for found in dicts for key in found.keys if isinstance(key, ast.Constant)}
    texts = advice.TEXTS.get(exercise, {}).keys()
    if exercise not in ("03_1", "11_3", "12_1", "12_2", "12_3"):  # their dicts hold no advice
        assert mistakes <= texts
    written = {node.value for node in ast.walk(_module_of(exercise)) if isinstance(node, ast.Constant)}
    # The names of 12_2 come from its table; those of 08_3 from checks/diagnosis, whose test compares them.
    assert exercise in ("08_3", "12_2") or texts - {"right", "otherwise"} <= written


def _module_of(exercise: str) -> ast.Module:
    """The source of the file of a check: its helpers name mistakes, too."""
    return ast.parse(inspect.getsource(inspect.getmodule(CHECKS[exercise])))


def test_a_verdict_reads_as_a_sentence_and_is_true_when_right():
    assert repr(Verdict(True, "Good.")) == "Right. Good." and Verdict(True, "Good.")
    assert repr(Verdict(False, "No.")) == "Not yet. No." and not Verdict(False, "No.")


def test_the_first_advice_of_a_check_ends_it():
    @advice.judge
    def check(answer):
        """Ask for a number above 0."""
        yield advice.kind("f", answer, int, "one place, an int,")
        yield "Go up." if answer < 1 else None
        return f"{answer} is above 0."

    assert check(2) == Verdict(True, "2 is above 0.") and check(0) == Verdict(False, "Go up.")
    assert "gave back nothing" in check(...).word and "an int, is wanted" in check("2").word
    assert check.__doc__ == "Ask for a number above 0."


def test_an_error_inside_an_answer_is_shown():
    @advice.judge
    def check(answer):
        yield advice.nothing("f", answer())
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
    said = advice.tensor("f", given, torch.zeros(2, 3), {"all ones": torch.ones(2, 3)}, "something else")
    assert word in said


def test_a_right_tensor_needs_no_advice():
    assert advice.tensor("f", torch.zeros(2, 3), torch.zeros(2, 3), {}, "otherwise") is None
