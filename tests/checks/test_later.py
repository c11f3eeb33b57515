"""Notebook 14's checks: the right answer passes, each plausible mistake hears its own word."""

import math

import pytest
import torch

from t2v_helpers import checks
from t2v_helpers.diffusion import flow_matching
from t2v_helpers.inside import dit
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


def velocity(x_t, eps, sigma):
    return (eps - x_t) / (1 - sigma)


def test_the_velocity_is_that_of_flow_matching():
    assert checks.check_14_2(velocity)
    x_0, eps = torch.randn(2, 3, 4, 2, 2, 2)
    torch.testing.assert_close(velocity(flow_matching.mix(x_0, eps, 0.3), eps, 0.3), flow_matching.velocity(x_0, eps))


@pytest.mark.parametrize("wrong, word", [
    (lambda x, e, s: (x - e) / (1 - s), "sigma grows towards the noise"), (lambda x, e, s: e - x, "rest of the way"),
    (lambda x, e, s: (e - x) / s, "1 - sigma of the way"), (lambda x, e, s: (x - s * e) / (1 - s), "the clean clip"),
    (lambda x, e, s: e - (x - s * e), "before you subtract"), (lambda x, e, s: e - x / (1 - s), "still has noise"),
    (lambda x, e, s: e - (x - s**0.5 * e) / (1 - s) ** 0.5, "Roots"), (lambda x, e, s: 0 * x, "Solve"),
    (lambda x, e, s: None, "gave back nothing"), (lambda x, e, s: x.mean(), "shape"),
])  # fmt: skip
def test_each_mistake_in_the_velocity_hears_its_word(wrong, word):
    verdict = checks.check_14_2(wrong)
    assert not verdict and word in verdict.word


def split(x, patch):
    f, h, w = (size // side for size, side in zip(x.shape[2:], patch, strict=True))
    (p, q, r), (b, c) = patch, x.shape[:2]
    return x.reshape(b, c, f, p, h, q, w, r), (b, f * h * w, c * p * q * r)


def in_order(*axes):
    def patches(x, patch):
        parts, shape = split(x, patch)
        return parts.permute(axes).reshape(shape)

    return patches


def far_apart(x, patch):
    (p, q, r), (b, c, f, h, w) = patch, x.shape
    x = x.reshape(b, c, p, f // p, q, h // q, r, w // r).permute(0, 3, 5, 7, 1, 2, 4, 6)
    return x.reshape(b, f * h * w // (p * q * r), -1)


def test_patches_are_the_dits():
    assert checks.check_14_3(in_order(0, 2, 4, 6, 1, 3, 5, 7)) and checks.check_14_3(dit.cut)


@pytest.mark.parametrize("wrong, word", [
    (lambda x, patch: x.reshape(split(x, patch)[1]), "reshape alone"),
    (in_order(0, 2, 4, 6, 3, 5, 7, 1), "channels first"), (in_order(0, 6, 4, 2, 1, 3, 5, 7), "column by column"),
    (in_order(0, 1, 3, 5, 7, 2, 4, 6), "come last"), (far_apart, "neighbours"),
    (lambda x, patch: dit.cut(x, patch).mT, "A token is a row"), (lambda x, patch: split(x, patch)[0], "not joined"),
    (lambda x, patch: dit.cut(x, (1, *patch[1:])), "shape"), (lambda x, patch: None, "gave back nothing"),
    (lambda x, patch: dit.cut(x, patch).flip(1), "Split each axis"),
])  # fmt: skip
def test_each_mistake_in_the_patches_hears_its_word(wrong, word):
    verdict = checks.check_14_3(wrong)
    assert not verdict and word in verdict.word
