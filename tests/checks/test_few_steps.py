"""Notebook 13's checks: the right answer passes, each plausible mistake hears its own word."""

from itertools import combinations

import numpy as np
import pytest
import torch

from t2v_helpers import checks
from t2v_helpers.diffusion import noise


def still(answer, teacher_step, x_t, t, s):
    with torch.no_grad():
        x_s = teacher_step(x_t, t, s)
        return x_s if s < 0 else answer(x_s, s)


def variety(videos):
    return np.mean([np.sqrt(((a - b) ** 2).mean()) for a, b in combinations(videos.astype(float), 2)])


def test_the_right_answers_pass():
    for check, answer in (("1", noise.x_0_from_step), ("2", still), ("3", variety)):
        verdict = getattr(checks, f"check_13_{check}")(answer)
        assert verdict, verdict.word


@pytest.mark.parametrize("wrong, word", [
    (lambda x_t, x_s, a, b: x_s, "where the two steps arrive"),
    (lambda x_t, x_s, a, b: x_s / b**0.5, "as if no noise were left"),
    (lambda x_t, x_s, a, b: (x_s - (1 - b) ** 0.5 * x_t) / b**0.5, "as if it were pure noise"),
    (lambda x_t, x_s, a, b: x_s - ((1 - b) / (1 - a)) ** 0.5 * x_t, "The numerator is right"),
    (lambda x_t, x_s, a, b: noise.x_0_from_step(x_t, x_s, a, b) + 1, "put in eps from x_t and x_0"),
    (lambda x_t, x_s, a, b: None, "gave back nothing"),
])  # fmt: skip
def test_each_mistake_in_the_aim_hears_its_word(wrong, word):
    verdict = checks.check_13_1(wrong)
    assert not verdict and word in verdict.word


@pytest.mark.parametrize("wrong, word", [
    (lambda f, step, x, t, s: f(step(x, t, s), s) if s >= 0 else step(x, t, s), "Hold it still"),
    (lambda f, step, x, t, s: f(step(x, t, s), s).detach(), "nothing ties the answers"),
    (lambda f, step, x, t, s: f(step(x, t, s), t).detach(), "is told the time where it began"),
    (lambda f, step, x, t, s: f(x, s).detach(), "Let the teacher take its step first"),
    (lambda f, step, x, t, s: f(x, t).detach(), "compared with itself"),
    (lambda f, step, x, t, s: step(x, t, s), "still noisy"),
    (lambda f, step, x, t, s: x, "below 0 the arrival itself"), (lambda *_: ..., "gave back nothing"),
])  # fmt: skip
def test_each_mistake_in_the_target_hears_its_word(wrong, word):
    verdict = checks.check_13_2(wrong)
    assert not verdict and word in verdict.word


def paired(distance, pairs=lambda x: combinations(x, 2)):
    return lambda videos: np.mean([distance(a, b) for a, b in pairs(videos.astype(float))])


def rms(a, b):
    return np.sqrt(((a - b) ** 2).mean())


@pytest.mark.parametrize("wrong, word", [
    (lambda v: np.mean([rms(a - b, 0.0) for a, b in combinations(v, 2)]), "below 0"),
    (paired(lambda a, b: ((a - b) ** 2).mean()), "That is the mean square"),
    (lambda v: paired(lambda a, b: ((a - b) ** 2).mean())(v) ** 0.5, "Take it for each pair"),
    (paired(lambda a, b: np.abs(a - b).mean()), "mean absolute difference"),
    (paired(rms, lambda x: [(a, b) for a in x for b in x]), "compared with itself as well"),
    (paired(rms, lambda x: zip(x, x[1:], strict=False)), "with the next one alone"),
    (paired(rms, lambda x: [(one, x.mean(0)) for one in x]), "distance from the mean video"),
    (paired(rms, lambda x: [(one[1:], one[:-1]) for one in x]), "that is motion"),
    (lambda v: variety(v) * 6, "the sum over the pairs"),
    (lambda v: variety(v) if v[0].any() and (v[0] != v[1]).any() else 1.0, "Three copies"),
    (lambda v: None, "gave back nothing"),
])  # fmt: skip
def test_each_mistake_in_the_variety_hears_its_word(wrong, word):
    verdict = checks.check_13_3(wrong)
    assert not verdict and word in verdict.word
