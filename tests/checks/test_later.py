"""Notebook 14's checks: the right answer passes, each plausible mistake hears its own word."""

import math

import pytest

from t2v_helpers import checks
from t2v_helpers.model.later.published import MODELS


def tokens(frames, height, width, stride, patch):
    latent = 1 + (frames - 1) // stride[0], height // stride[1], width // stride[2]
    return math.prod(places // side for places, side in zip(latent, patch, strict=True))


def test_tokens_are_counted_as_the_models_count_them():
    assert checks.check_14_1(tokens)
    for model in MODELS.values():
        assert (
            tokens(model.clip.frames, model.clip.height, model.clip.width, model.stride, model.patch) == model.tokens()
        )


@pytest.mark.parametrize("wrong, word", [
    (lambda f, h, w, s, p: f // s[0] * (h // s[1] // p[1]) * (w // s[2] // p[2]), "latent frame of its own"),
    (lambda f, h, w, s, p: f / s[0] * (h / s[1] / p[1]) * (w / s[2] / p[2]), "whole groups"),
    (lambda f, h, w, s, p: (1 + f // s[0]) * (h // s[1] // p[1]) * (w // s[2] // p[2]), "do not count that one"),
    (lambda f, h, w, s, p: tokens(f, h, w, s, (1, 1, 1)), "A token is a patch"),
    (lambda f, h, w, s, p: tokens(f, h, w, s, (1, 1, 1)) // p[1], "two sides"),
    (lambda f, h, w, s, p: tokens(f, h, w, (s[0], 1, 1), (1, 1, 1)), "pixels"),
    (lambda f, h, w, s, p: tokens(f, h, w, (1, *s[1:]), p), "compresses along time"),
    (lambda f, h, w, s, p: None, "gave back nothing"), (lambda f, h, w, s, p: "many", "a number"),
])  # fmt: skip
def test_each_mistake_in_the_tokens_hears_its_word(wrong, word):
    verdict = checks.check_14_1(wrong)
    assert not verdict and word in verdict.word
