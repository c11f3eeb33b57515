"""Muon: the iteration makes matrices orthogonal, and the optimizer learns."""

import pytest
import torch

from t2v_helpers.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 6, 20), (2, 20, 6), (1, 8, 8)])
def test_singular_values_come_near_one(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(x))
    assert 0.3 < values.min() and values.max() < 1.3  # the coefficients trade exactness for speed
    directions = torch.linalg.svd(x, full_matrices=False)
    exact = directions.U @ directions.Vh
    assert (orthogonal(x) * exact).sum() / exact.square().sum() > 0.8


def test_it_finds_a_least_squares_solution():
    generator = torch.Generator().manual_seed(1)
    x, wanted = torch.randn(64, 5, generator=generator), torch.randn(5, 3, generator=generator)
    weight = torch.nn.Parameter(torch.zeros(5, 3))
    optimizer = Muon([weight], lr=0.1, weight_decay=0)
    for k in range(300):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - k / 300)
        loss = (x @ weight - x @ wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1e-2


def test_a_weight_without_gradient_stays():
    still, moving = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2, 2))
    optimizer = Muon([still, moving], lr=0.1)
    moving.grad = torch.ones(2, 2)
    optimizer.step()
    assert torch.equal(still, torch.ones(2, 2)) and not torch.equal(moving, torch.ones(2, 2))


def test_vectors_are_refused():
    with pytest.raises(ValueError, match=r"two or more axes, not \[3\]; use AdamW"):
        Muon([torch.nn.Parameter(torch.ones(3))], lr=0.1)
