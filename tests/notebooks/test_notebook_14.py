"""Notebook 14 samples, cuts and holds as the package does: its functions are taken out and run beside the package's."""

import json
from pathlib import Path

import pytest
import torch
from notebook_functions import functions, source
from torch.nn import functional as F

from t2v_helpers.core.paths import PACKAGE
from t2v_helpers.diffusion import flow_matching
from t2v_helpers.inside import dit

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "14_after_modelscope.ipynb"
HERE = {"torch": torch, "F": F}
exec(source([one for one in functions(NOTEBOOK) if not one.decorator_list]), HERE)  # the repository's own notebook


def test_its_mixture_and_velocity_are_the_packages():
    x_0, eps = torch.randn(2, 3, 4, 2, 5, 5)
    torch.testing.assert_close(HERE["mix"](x_0, eps, 0.3), flow_matching.mix(x_0, eps, 0.3))
    torch.testing.assert_close(HERE["velocity"](x_0, eps), flow_matching.velocity(x_0, eps))


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_its_sampler_is_the_packages(steps):
    start = torch.linspace(-2, 2, 5)[:, None]
    for mine, ours in zip(HERE["euler"](HERE["exact"], start, steps),
                          flow_matching.sample(HERE["exact"], start, steps), strict=True):  # fmt: skip
        torch.testing.assert_close(mine, ours, atol=1e-5, rtol=1e-5)


def test_its_exact_velocity_is_the_mean_of_all_lines_through_a_point():
    draw = torch.Generator().manual_seed(0)
    x_0 = torch.randint(2, (2_000_000,), generator=draw) * 2.0 - 1
    eps, sigma = torch.randn(x_0.shape, generator=draw), 0.6
    x = HERE["mix"](x_0, eps, sigma)
    near = (x - 0.2).abs() < 0.01
    counted = HERE["velocity"](x_0, eps)[near].mean()
    assert HERE["exact"](torch.tensor(0.2), 1000 * sigma) == pytest.approx(counted.item(), abs=0.02)


def test_its_convolution_sees_nothing_that_comes_later():
    x, kernel = torch.randn(6), torch.tensor([0.5, 0.25, 0.25])
    later = x.clone()
    later[4:] = 0
    assert torch.equal(HERE["causal"](x, kernel)[:4], HERE["causal"](later, kernel)[:4])


def test_its_block_is_the_packages():
    block = dit.Block(dit.Config(in_channels=8, cross_attention_dim=16, width=24, heads=2))
    for p in block.parameters():
        torch.nn.init.normal_(p, std=0.2)
    given = torch.randn(2, 7, 24), torch.randn(2, 6, 24), torch.randn(2, 3, 16)
    torch.testing.assert_close(HERE["block_by_hand"](block, *given), block(*given))


def test_the_first_frame_is_held_and_the_others_are_left_alone():
    x, first = torch.randn(2, 4, 3, 5, 5), torch.randn(2, 4, 1, 5, 5)
    found = HERE["held"](x, first)
    assert torch.equal(found[:, :, :1], first) and torch.equal(found[:, :, 1:], x[:, :, 1:])


def test_the_dit_has_as_few_lines_as_it_says():
    said = "".join("".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"])
    assert "fewer than 200 lines" in said and len((PACKAGE / "inside" / "dit.py").read_text().splitlines()) < 200
