"""The checks of notebook 01: each mistake gets its own word. The answers that pass are in notebooks/solutions."""

import pytest
import torch
from torch.nn import functional as F

from t2v_helpers import checks


def code(count, channels):
    angles = torch.arange(count)[:, None] * 10000 ** (-torch.arange(channels // 2) / (channels // 2))
    return torch.cat([angles.cos(), angles.sin()], dim=-1)  # [f c]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (
            lambda x, batch: x.unflatten(0, (batch, -1)).permute(3, 4, 0, 1, 2).flatten(0, 2),
            "in another order: (h w b)",
        ),
        (
            lambda x, batch: x.unflatten(0, (batch, -1)).permute(0, 4, 3, 1, 2).flatten(0, 2),
            "column by column: h comes before w",
        ),
        (
            lambda x, batch: x.unflatten(0, (batch, -1)).permute(0, 3, 4, 1, 2).flatten(0, 2).flip(1),
            "The first sequence must be",
        ),
        (lambda x, batch: x, "gave back the shape [6, 4, 2, 5]"),
    ],
)
def test_the_other_fold(answer, word):
    assert word in checks.check_01_1(answer).word


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda x, w, b: F.conv3d(torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2), w, b), "not copies of the first"),
        (lambda x, w, b: F.conv3d(x, w, padding=(1, 0, 0)), "Frame 0 is wrong already"),
        (lambda x, w, b: F.conv3d(F.pad(x, (0, 0, 0, 0, 1, 0)), w[:, :, :2], b), "The frame after is missing"),
        (lambda x, w, b: F.conv3d(F.pad(x, (0, 0, 0, 0, 0, 1)), w[:, :, 1:], b), "The frame before is missing"),
        (lambda x, w, b: F.pad(F.conv3d(x, w, b, padding=(1, 0, 0))[:, :, :1], (0, 0, 0, 0, 0, 4)), "Frame 0 is right"),
        (lambda x, w, b: None, "gave back nothing"),
    ],
)
def test_the_temporal_convolution(answer, word):
    assert word in checks.check_01_2(answer).word


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda x: x + code(6, 8)[1:], "the first frame is number 0"),
        (lambda x: code(x.shape[1], 8).expand(x.shape), "code alone"),
        (lambda x: x * code(5, 8), "should hold 0.54, 1.00, 1.00, 1.00, 0.84, 0.10, 0.01, 0.00 for frame 1"),
    ],
)
def test_numbers_for_the_frames(answer, word):
    assert word in checks.check_01_3(answer).word
