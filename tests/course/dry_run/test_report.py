"""The memory that is predicted, and what must hold."""

import pytest

from t2v_helpers.course.dry_run import report

GIB = 2**30


PARTS = report.Parts(
    weights={"text_encoder": 1, "unet": 4, "vae": 2},
    files={"text_encoder": 1, "unet": 8, "vae": 3},
    activations={"text_encoder": 0, "unet": 3, "vae": 1},
)


def found(load: int, step: int, decode: int, **more) -> dict:
    phases = {"load": load, "step": step, "decode": decode}
    peaks = {name: {"peak": n, "seconds": 1.0} for name, n in phases.items()}
    return {"baseline": 10, "peaks_apart": True, "phases": peaks} | more


def test_loading_holds_the_weights_so_far_and_the_file_that_is_read():
    assert report.loading(PARTS, converted=True) == 1 + 4 + 8
    assert report.loading(PARTS, converted=False) == 1 + 4 + 2


def test_a_peak_is_baseline_and_weights_and_activations():
    made = report.rows(PARTS, found(23, 20, 18), converted=True)
    assert [row.predicted for row in made] == [10 + 13, 10 + 7 + 3, 10 + 7 + 1]
    assert all(row.off == 0 for row in made)


def test_without_peaks_apart_only_the_first_is_judged():
    assert [row.what for row in report.rows(PARTS, found(23, 20, 18, peaks_apart=False), True)] == ["load"]


@pytest.mark.parametrize("measured, holds", [(86, True), (84, False), (114, True), (116, False)])
def test_a_peak_that_is_too_far_off_does_not_hold(measured, holds):
    (check,) = report.agreement([report.Row("step", 100, measured, 1.0)])
    assert check.holds is holds


@pytest.mark.parametrize("measured, holds", [(52, True), (50, False), (114, True), (116, False)])
def test_pages_of_a_file_may_be_dropped_while_it_is_read(measured, holds):
    assert report.Row("load", 100, measured, 1.0, least=60).holds is holds
    (load, *others) = report.rows(PARTS, found(23, 20, 18), converted=True)
    assert load.least == 10 + 7 and all(row.least is None for row in others)


def all_checks(step=None, shared=None, repeated=None) -> dict[str, bool]:
    step = found(1, 1, 1, parameters=7, finite=True, frames=[1, 2, 8, 8, 3]) | (step or {})
    same = {"arrived": {"ddim": [1.0, 2.0]}}
    one = found(1, 1, 1, bytes=7) | same | (shared or {})
    many = found(1, 1, 1, bytes=28, held=9, sets=4) | same | (repeated or {})
    return {check.what: check.holds for check in report.checks(7, PARTS, step, one, many, (2, 8, 8))}


@pytest.mark.parametrize(
    "wrong, what",
    [
        ({"step": {"parameters": 6}}, "all parameters are there"),
        ({"step": {"finite": False}}, "a guided step gives finite numbers"),
        ({"step": {"frames": [1, 2, 8, 4, 3]}}, "frames are decoded [b f h w c]"),
        ({"shared": {"bytes": 14}}, "4 schedulers on one set of weights"),
        ({"repeated": {"bytes": 7}}, "loaded 4 times, 4 sets"),
        ({"repeated": {"arrived": {"ddim": [1.0, 2.1]}}}, "both ways arrive at the same latents"),
        ({"repeated": {"arrived": {"ddim": [1.0, float("nan")]}}}, "both ways arrive at the same latents"),
        ({"repeated": {"held": 25 * GIB}}, "all below 24 GiB"),
    ],
)
def test_what_is_wrong_is_seen(wrong, what):
    assert all(all_checks().values())
    assert [name for name, holds in all_checks(**wrong).items() if not holds] == [what]
