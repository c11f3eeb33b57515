"""Looking into a layer: what its parts take and return is kept, and which positions reach which is what they must."""

import pytest
import torch

from t2v_helpers.core import seeding
from t2v_helpers.inside import looking
from t2v_helpers.training import denoiser

F, H, W = 11, 5, 4


@pytest.fixture(scope="module")
def block():
    """The first block of the cartoon's UNet, untrained, with all weights awake."""
    block = seeding.seeded(0, denoiser.new_unet).eval().down_blocks[0]
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(1))
    return block


@pytest.fixture(scope="module")
def found(block):
    """Kind -> where its output changes, bool [f h w]."""
    generator = torch.Generator().manual_seed(2)
    width = block.resnets[0].in_channels
    x, text = torch.randn(F, width, H, W, generator=generator), torch.randn(1, 6, 128, generator=generator)
    with torch.no_grad():
        return {name: looking.changed(read, x) for name, read in looking.reads(block, text).items()}


def box(frames, rows, columns):
    where = torch.zeros(F, H, W, dtype=torch.bool)
    where[frames, rows, columns] = True
    return where


ALL, MIDDLE = slice(None), (F // 2, H // 2, W // 2)


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("2 spatial convolutions", (F // 2, ALL, ALL)),
        ("4 temporal convolutions", (slice(F // 2 - 4, F // 2 + 5), *MIDDLE[1:])),
        ("spatial self-attention", (F // 2, ALL, ALL)),
        ("cross-attention", MIDDLE),
        ("temporal attention", (ALL, *MIDDLE[1:])),
    ],
)
def test_each_kind_reaches_what_its_formula_says(found, kind, where):
    assert torch.equal(found[kind], box(*where))


def test_parts_are_watched_within_the_context_alone():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    x = torch.randn(2, 3)
    with torch.no_grad(), looking.watched(net, ["0", "1"]) as seen:
        y = net(x)
    assert seen["0"][0] is x and torch.equal(seen["0"][1], seen["1"][0]) and torch.equal(seen["1"][1], y)
    net(torch.zeros(1, 3))
    assert seen["0"][0] is x and not net[0]._forward_hooks


def test_hooks_are_gone_after_an_error_and_an_unknown_part_is_named():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    with pytest.raises(ZeroDivisionError), looking.watched(net, ["0"]):
        1 / 0  # noqa: B018
    assert not net[0]._forward_hooks
    with pytest.raises(AttributeError, match="has no attribute `7`"), looking.watched(net, ["0", "7"]):
        pass
    assert not net[0]._forward_hooks
