"""identity: no change of a value in memory goes untold."""

import hashlib
from functools import partial
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


PAGES = [
    "class Mine:\n    def __call__(self, a): return {}a",
    "class Mine:\n    @staticmethod\n    def does(a): return {}a",
    "class Mine:\n    @property\n    def does(self): return {}self",
    "class Mine:\n    factor = {}1",
    "factor = {}1\nMine = lambda: lambda a: factor * a",
    "factor = {}1\ndef Mine():\n    return lambda a: [factor * b for b in a]",
    "import torch\nfactor = {}torch.ones(2)\nMine = lambda: lambda a: factor * a",
]


@pytest.mark.parametrize("text", PAGES)
def test_a_class_and_a_variable_of_a_notebook_are_told(text):
    seen = []
    for sign in ("", "", "-"):
        page = {"__name__": "__main__"}
        exec(text.format(sign), page)
        seen.append(identity.told(page["Mine"]()))
    assert seen[0] == seen[1] != seen[2]


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor


def linear(value):
    made = nn.Linear(2, 2)
    made.weight.data.fill_(value), made.bias.data.fill_(0)
    return made


@pytest.mark.parametrize("make", [
    Slotted, linear, lambda x: {x}, lambda x: [str] * 200 + [torch.ones(x)], lambda x: linear(x).forward,
    lambda x: lambda y: linear(1)(y * x), lambda x: partial(linear(x)), lambda x: (None, torch.int8, torch.bool)[x],
    lambda x: Slotted({"a": {"b": {"c": torch.ones(x)}}}),
])  # fmt: skip
def test_what_an_object_holds_is_told(make):
    assert identity.told(make(1)) == identity.told(make(1)) != identity.told(make(2))


def test_a_function_of_a_users_own_file_is_told_when_it_is_read_again():
    seen = set()
    for does in ("a + 1", "a - 1"):
        exec(f"def mine(a):\n    return {does}", file := {"__name__": "my_predictors"})
        seen.add(identity.told(file["mine"]))
    assert len(seen) == 2


def test_what_cannot_be_looked_into_is_told_by_name():
    assert [identity.told(one) for one in (nn, nn.Linear, len)] == [
        "builtins.module('torch.nn')", "torch.nn.modules.linear.Linear()", "builtins.len()",
    ]  # fmt: skip


def twice(layer, x):
    return 2 * nn.Linear.forward(layer, x)


@pytest.mark.parametrize("name", ["forward", "_call_impl", "eval"])
def test_what_stands_in_place_of_a_method_is_told_and_what_is_put_back_is_not(network, name):
    before, method = told_of(network), getattr(network[1], name)
    setattr(network[1], name, partial(twice, network[1]))
    assert told_of(network) != before
    setattr(network[1], name, method)
    assert told_of(network) == before


def test_the_method_of_another_network_is_told_with_its_weights(network):
    seen = set()
    for weight in (1, 2):
        network[1].forward = linear(weight).forward
        seen.add(told_of(network))
    assert len(seen) == 2


def test_a_network_that_functions_hold_is_hashed_once(network, monkeypatch):
    hashed, other, of_tensor = [], linear(1), identity._of_tensor
    monkeypatch.setattr(identity, "_of_tensor", lambda x: hashed.append(x.data_ptr()) or of_tensor(x))
    for layer in network:
        layer.register_forward_hook(lambda part, given, out: other(network(out)))
    told_of(network)
    assert hashed.count(other.weight.data_ptr()) == hashed.count(network[1].weight.data_ptr()) == 1


def test_a_function_or_tensors_among_the_settings_are_told(network):
    seen = {told_of(network)}
    for value in (torch.relu, torch.tanh, [torch.ones(2), None], [torch.zeros(2), None]):
        network[1].mine = value
        seen.add(told_of(network))
    assert len(seen) == 5
