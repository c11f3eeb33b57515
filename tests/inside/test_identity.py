"""identity: no change of a value in memory goes untold."""

import hashlib
from operator import attrgetter

import numpy as np
import pytest
import torch
from torch import nn

from t2v_helpers.inside import identity


def told_of(network):
    digest = hashlib.sha256()
    identity.add_network(digest, "unet", network)
    return digest.hexdigest()


@pytest.fixture
def network():
    made = nn.Sequential(nn.Embedding(40, 10), nn.Linear(10, 3))
    made.register_buffer("unsaved", torch.arange(5), persistent=False)
    made.register_buffer("empty", torch.zeros(0))
    made[1].table = torch.ones(150)
    return made


@pytest.mark.parametrize("where", ["0.weight", "1.weight", "1.bias", "1.table", "unsaved"])
def test_each_value_of_a_network_is_told(network, where):
    values = attrgetter(where)(network).detach().view(-1)
    seen = {told_of(network)}
    for value in values:
        before = value.clone()
        value.neg_().sub_(1)
        seen.add(told_of(network))
        value.copy_(before)
    assert len(seen) == len(values) + 1


def test_two_rows_that_change_places_are_told(network):
    before, rows = told_of(network), network[0].weight.data
    rows[:2] = rows[:2].flip(0)
    assert told_of(network) != before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool])
def test_a_type_is_told_and_each_can_be(dtype):
    assert len({identity.told(torch.ones(4, dtype=one)) for one in (dtype, torch.float32)}) == 2


def test_all_of_a_long_list_and_of_an_array_is_told():
    for make in (list, np.array, tuple):
        assert identity.told(make([1.0] * 200)) != identity.told(make([1.0] * 199 + [2.0]))


def test_a_function_that_a_notebook_defines_anew_is_told():
    seen = set()
    for does in ("a + 1", "a - 1", "(lambda b: b + a)(1)", "(lambda b: b - a)(1)"):
        cell = {"__name__": "__main__"}
        exec(f"def mine(a):\n    return {does}", cell)
        seen.add(identity.told(cell["mine"]))
    assert len(seen) == 4
