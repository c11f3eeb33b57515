"""Notebook 07 computes what the package computes: its functions are taken out and run, and so are its exercises."""

import ast
import copy
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import sepia_word
from t2v_helpers.diffusion.noise import add_noise, snr
from t2v_helpers.inside import learned_rows
from t2v_helpers.metrics import power
from t2v_helpers.model import loading, lora
from t2v_helpers.studies import new_word
from t2v_helpers.training import finetune

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "07_teach_it_a_new_word.ipynb"


def definitions() -> str:
    """The source of every function and class that the notebook defines, exercises left out."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [c.source for c in cells if c.cell_type == "code" and "exercise" not in c.metadata.get("tags", [])]
    wanted = ast.FunctionDef | ast.ClassDef
    return "\n".join(
        ast.unparse(node) for source in code for node in ast.parse(source).body if isinstance(node, wanted)
    )


def namespace(**names) -> dict:
    """The notebook's functions, and the names that they look up."""
    here = {"cartoon": cartoon, "lora": lora, "metrics": metrics, "new_word": new_word, "np": np, "power": power}
    here |= {"torch": torch, "finetune": finetune, "add_noise": add_noise, "snr": snr}
    here |= {
        "DARK": sepia_word.DARK,
        "LIGHT": sepia_word.LIGHT,
        "LUMA": sepia_word.LUMA,
        "FRAMES": 8,
        "last": "2",
    } | names
    exec(definitions(), here)  # the repository's own notebook
    return here


HERE = namespace()


@pytest.fixture
def pipe(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


def test_its_sepia_and_its_distance_are_the_packages():
    frames = cartoon.item(0, 0, frames=2).frames
    assert np.array_equal(HERE["sepia"](frames), sepia_word.sepia(frames))
    assert HERE["distance"](frames) == pytest.approx(sepia_word.distance(frames), rel=1e-6)


def test_its_loss_is_the_packages(toy_pipe):
    generator = torch.Generator().manual_seed(0)
    x_0, eps = (torch.randn(2, 8, 1, 4, 4, generator=generator) for _ in range(2))
    batch = x_0, eps, torch.tensor([10, 900]), finetune.tokens(toy_pipe, ["a cat", "a dog"])
    mine = namespace(pipe=toy_pipe, where=(torch.device("cpu"), torch.float32))["denoising_loss"]
    with torch.no_grad():
        torch.testing.assert_close(mine(*batch), finetune.denoising_loss(toy_pipe, *batch))


@torch.no_grad()
def test_the_layer_of_exercise_1_is_pefts_on_the_whole_unet(pipe, solution):
    inputs = torch.randn(1, 8, 2, 4, 4), 5, torch.randn(1, 24, 32)
    for p in lora.add(pipe, rank=2):
        p.data.normal_()
    wanted, filled = pipe.unet(*inputs).sample, lora.added(pipe.unet)
    here = namespace(pipe=pipe, inputs=inputs, filled=filled, LoRALinear=solution("07_1", "LoRALinear"))
    found = here["with_layers"](here["yours"])
    assert lora.added(pipe.unet) == {}
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    here["with_layers"](lambda theirs: theirs)
    assert lora.added(pipe.unet) == filled


def test_its_limit_is_the_packages():
    near, far = [3.0, 5.0, 9.0, 4.0], [8.0, 20.0, 11.0, 12.0]
    assert HERE["limit"](near, far) == sepia_word.limit(near, far) == 6.5


@pytest.mark.parametrize(
    ("lost", "won", "word"), [(0, 5, "not shown"), (0, 6, "more"), (6, 0, "fewer"), (3, 3, "not shown")]
)
def test_its_verdict_is_that_of_the_paired_test(lost, won, word):
    before, after = [True] * lost + [False] * won, [False] * lost + [True] * won
    assert HERE["verdict"](before, after).startswith(f"{word} ({lost} lost, {won} won")


def test_its_loudness_is_the_distance_of_two_texts(toy_pipe):
    loudness = namespace(pipe=toy_pipe)["loudness"]
    assert loudness("") == pytest.approx(0, abs=1e-6) and loudness("in black and white") > 0


def test_its_change_of_the_distance_is_paired_by_seed():
    row = {"found": {"0": {"new": [{"distance": d} for d in (9.0, 30.0, 50.0)]},
                     "2": {"new": [{"distance": d} for d in (8.0, 29.0, 49.0)]}}}  # fmt: skip
    m = HERE["moved"](row, "2", "new")
    assert (m.value, m.low, m.high, m.n) == (-1, -1, -1, 3)


# --- the exercises


@torch.no_grad()
def test_the_merge_of_exercise_1_is_the_packages(pipe, solution):
    for p in lora.add(pipe, rank=2, alpha=3):
        p.data.normal_()
    name, layer = next(iter(lora.added(pipe.unet).items()))
    mine = solution("07_1", "LoRALinear")(copy.deepcopy(layer.get_base_layer()), 2, 3)
    mine.A.data, mine.B.data = layer.lora_A["lora"].weight, layer.lora_B["lora"].weight
    lora.merge(pipe)
    torch.testing.assert_close(mine.merged(), pipe.unet.get_submodule(name).weight)


def test_the_rows_of_exercise_2_are_the_packages(solution):
    base, tokens = nn.Embedding(9, 4).requires_grad_(False), torch.tensor([1, 5, 7, 5])
    rows = learned_rows.LearnedRows(base, [7, 5])
    rows.change.data.normal_()
    with torch.no_grad():
        found = solution("07_2", "read_with")(base.weight, tokens, [7, 5], rows.change)
        torch.testing.assert_close(found, rows(tokens))


def test_the_notebook_repeats_the_first_row_of_the_table():
    assert new_word.RANK == new_word.RUNS[0]["rank"] and new_word.RUNS[0]["old"] == finetune.Settings().old
