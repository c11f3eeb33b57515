"""A training loop is diagnosed by what it does: a sound one gets no name, and each of many faults gets its own."""

import inspect
from collections.abc import Callable

import pytest
import torch

from t2v_helpers import checks
from t2v_helpers.checks import diagnosis
from t2v_helpers.checks.advice import TEXTS
from t2v_helpers.studies import from_scratch

SOURCE = "\n\n".join(map(inspect.getsource, (from_scratch.noise_error, from_scratch.train)))
X_T, AVERAGE = "noise.add_noise(x_0, eps, ABAR[t])", "min(decay, (1 + k) / (10 + k))"
ROOT = "ABAR[t][:, None, None, None, None]"
ADAM, KEEP = "net.parameters(), lr, betas=(0.9, 0.99), weight_decay=0.0", "keep = min("
RATE = "lr * min((k + 1) / WARM_UP, (WARM_UP / (k + 1)) ** 0.5)"
EPS = "torch.randn(x_0.shape, generator=dice)"
FAULTS = [  # (what the loop says, what is said instead, the cause)
    ("lr * min(", "50 * lr * min(", "rate_too_high"),
    ("lr * min(", "lr / 1000 * min(", "rate_too_low"),
    ("loss.backward()", "(-loss).backward()", "wrong_sign"),
    (ADAM, f"{ADAM}, maximize=True", "uphill"),
    (X_T, f"{ROOT}.sqrt() * x_0", "no_noise"),
    (X_T, f"{ROOT} * x_0 + (1 - {ROOT}) * eps", "no_root"),
    (", t, words)", ", 999 - t, words)", "wrong_time"),
    (", t, words)", ", t.roll(1), words)", "wrong_time"),
    ("u * len(ABAR)", "u * 100", "few_times"),
    ("x_0 * scale", "x_0", "not_scaled"),
    ("x_0 * scale", "x_0 * scale**2", "not_scaled"),
    (AVERAGE, "0.9999", "average_stays"),
    (AVERAGE, "1 - decay", ""),  # a short memory is a matter of taste
    (AVERAGE, "0", "no_average"),
    ("clips.words[i]", "clips.words[i.roll(1)]", "shuffled_words"),
    ("< empty", "< 0", "never_silent"),
    ("< empty", "> empty", "often_silent"),
    ("words) - eps)", "words) - x_0)", "learns_x_0"),
    ("words) - eps)", f"words) - ({ROOT}.sqrt() * eps - (1 - {ROOT}).sqrt() * x_0))", "learns_v"),
    ("words) - eps)", "words) - torch.randn(x_0.shape, generator=seeding.generator(1)))", "wrong_target"),
    ("words) - eps)", "words) + eps)", "wrong_sign"),
    ("optimizer.zero_grad()", "pass", "kept_gradients"),
    (f"eps = {EPS}", "eps = torch.randn(x_0.shape, generator=seeding.generator(seed))", "same_noise"),
    (f"eps = {EPS}", "eps = torch.randn(x_0[:1].shape, generator=dice).expand(x_0.shape)", "same_noise"),
    (f"eps = {EPS}", "eps = torch.randn(x_0[:, :, :1].shape, generator=dice).expand(x_0.shape)", "same_noise"),
    ("clips.draw(k, dice, images)", "clips.draw(k, dice, False)", "no_images"),
    ("clips.draw(k, dice, images)", "clips.draw(k, seeding.generator(seed), images)", "same_clips"),
    ("weight(ABAR[t], most)", "ABAR[t] / (1 - ABAR[t])", "weights_upside_down"),
    ("loss.backward()", "pass", "no_step"),
]


def broken(old: str, new: str) -> Callable:
    """The package's loop and its objective with one change."""
    assert SOURCE.count(old) == 1, old
    names = dict(vars(from_scratch))
    exec(SOURCE.replace(old, new), names)  # the repository's own source
    return names["train"]


def test_a_sound_loop_is_called_sound():
    assert diagnosis.diagnose(from_scratch.train) == ""


@pytest.mark.parametrize(
    "change",
    [("if most else 1", "if False else 1"), ("seed: int = 0", "seed: int = 7"), (RATE, "lr"),
     (ADAM, "net.parameters(), lr"), (KEEP, f"optimizer.zero_grad()\n        {KEEP}")],
    ids=["no weights", "another seed", "another warm-up", "another optimizer", "gradients cleared late"],
)  # fmt: skip
def test_other_sound_loops_are_called_sound_too(change):
    assert diagnosis.diagnose(broken(*change)) == ""


@pytest.mark.parametrize(("old", "new", "cause"), FAULTS, ids=[f"{cause}-{n}" for n, (*_, cause) in enumerate(FAULTS)])
def test_each_fault_gets_its_name(old, new, cause):
    assert diagnosis.diagnose(broken(old, new)) == cause


def test_every_cause_is_tried_here_and_has_its_sentence():
    assert {cause for *_, cause in FAULTS} - {""} == set(diagnosis.CAUSES)
    assert set(TEXTS["08_3"]) == {*diagnosis.CAUSES, "right"}


def test_the_check_says_the_sentence_of_the_cause():
    verdict = checks.check_08_3(broken("loss.backward()", "(-loss).backward()"))
    assert not verdict and verdict.word == TEXTS["08_3"]["wrong_sign"]
    assert not checks.check_08_3(lambda net, clips, steps: None)


def test_what_watches_is_the_same_in_every_run():
    first, second = diagnosis.Material(), diagnosis.Material()
    assert torch.equal(first.latents, second.latents)
    assert first.latents.std().item() == pytest.approx(diagnosis.SCALE, rel=0.02)
