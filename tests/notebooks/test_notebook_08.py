"""Notebook 08 trains as the package trains: its functions are taken out and run beside the package's."""

import ast
import copy
import inspect
from pathlib import Path

import nbformat
import pytest
import torch
from notebook_functions import functions, nodes, source
from torch import nn

from t2v_helpers import checks
from t2v_helpers.checks import diagnosis
from t2v_helpers.core import seeding
from t2v_helpers.diffusion.noise import add_noise, alphas_cumprod
from t2v_helpers.studies import from_scratch as study

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "08_train_from_scratch.ipynb"
SOURCE = source(functions(NOTEBOOK))
HERE = {"copy": copy, "torch": torch, "nn": nn, "seeding": seeding, "add_noise": add_noise, "study": study,
        "ABAR": alphas_cumprod(), "inspect": inspect}  # fmt: skip
exec(SOURCE, HERE)  # the repository's own notebook
ASSIGNED = {ast.unparse(node.targets[0]): node.value for node in nodes(NOTEBOOK) if isinstance(node, ast.Assign)}
FAULTS = ast.literal_eval(ASSIGNED["FAULTS"])
LOOP = next(cell.source for cell in nbformat.read(NOTEBOOK, 4).cells if cell.source.startswith("def train("))


@pytest.mark.parametrize("options", [{}, {"most": None, "empty": 0.5, "images": False, "decay": 0.5, "seed": 3}])
def test_its_loop_is_the_packages(options):
    def trained(loop):
        net = diagnosis.Watched()
        return [(loss, average.bias.clone()) for loss, average in loop(net, diagnosis.Material(), 4, **options)]

    for (mine, average), (theirs, other) in zip(trained(HERE["train"]), trained(study.train), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-6)
        torch.testing.assert_close(average, other)


def test_its_weight_is_the_packages():
    torch.testing.assert_close(HERE["weight"](HERE["ABAR"]), study.weight(HERE["ABAR"]))


def test_its_ten_faults_are_ten_and_each_is_named():
    words = []
    for old, new in FAULTS.values():
        assert LOOP.count(old) == 1, old
        names = dict(HERE)
        exec(LOOP.replace(old, new), names)  # as the notebook does
        verdict = checks.check_08_3(names["train"])
        assert not verdict, old
        words.append(verdict.word)
    assert len(set(words)) == len(FAULTS) == 10


def test_its_own_loop_is_sound():
    assert checks.check_08_3(HERE["train"])
