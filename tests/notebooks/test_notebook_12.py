"""Notebook 12: its stages are the package's pipeline, what it breaks is whole again, and each mistake has a report."""

import ast
import copy
import re
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from notebook_functions import nodes, source

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import sepia_word
from t2v_helpers.checks import measuring
from t2v_helpers.core import layout, seeding, video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.course.parting import first_apart
from t2v_helpers.model import generate, loading, lora
from t2v_helpers.training import finetune

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "12_what_breaks.ipynb"
WORDS, SEEDS, STEPS, FRAMES = ("a dog is dancing", "a cat is jumping"), (3, 4), 2, 2
KEPT = ("RIGHT", "LATE", "SEPIA")
REPORT = re.compile(r"[\w.-]+/[\w.-]+#\d+")


def assigned(name: str) -> ast.expr:
    return next(n.value for n in nodes(NOTEBOOK) if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == name)


@pytest.fixture
def here(toy_pipe) -> dict:
    """The notebook's functions and its list of stages, for a toy pipeline."""
    names = {"np": np, "torch": torch, "copy": copy, "cache": cache, "dataclass": dataclass, "cartoon": cartoon}
    names |= {"contextmanager": contextmanager, "nullcontext": nullcontext, "layout": layout, "seeding": seeding}
    names |= {"video": video, "metrics": metrics, "loading": loading, "lora": lora, "finetune": finetune}
    names |= {"EulerDiscreteScheduler": EulerDiscreteScheduler, "first_apart": first_apart, "pipe": toy_pipe}
    names |= {"SENTENCES": WORDS, "SEEDS": SEEDS, "STEPS": STEPS, "FRAMES": FRAMES, "IS_CARTOON": True}
    names |= {"right": None}
    names |= {"GUIDANCE": loading.defaults(toy_pipe).guidance, "ROOM": 24, "PAD": 0, "sepia_word": sepia_word}
    wanted = [n for n in nodes(NOTEBOOK) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    lists = [n for n in nodes(NOTEBOOK) if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) in KEPT]
    with torch.no_grad():
        exec(source(wanted + lists), names)  # the repository's own notebook
        yield names


def test_its_film_is_what_the_package_generates(toy_pipe, here):
    made = here["film"]()
    for i, (words, seed) in enumerate(zip(WORDS, SEEDS, strict=True)):
        spec = GenerationSpec(words, seed=seed, steps=STEPS, frames=FRAMES, scheduler="euler")
        assert np.abs(made.frames[i].astype(int) - generate.generate(toy_pipe, spec).frames).max() <= 1


def test_a_late_change_keeps_the_latents_and_an_early_one_makes_new_ones(here):
    right = here["film"]()
    late = here["film"](paint=lambda x: here["paint"](x)[..., ::-1])
    early = here["film"](guide=lambda negative, prompt: prompt)
    assert late.stages["latents"] is right.stages["latents"] and np.array_equal(late.frames, right.frames[..., ::-1])
    assert first_apart(right.stages, late.stages) == "pixels"
    assert first_apart(right.stages, early.stages) == "first guided"
    assert first_apart(right.stages, here["film"](codec="mp4v").stages) == "file"


def test_it_decodes_by_another_vae_as_by_its_own(toy_pipe, here):
    z = torch.randn(1, 8, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(here["decode_by"](toy_pipe.vae, z), here["decode"](z))


def test_a_loss_that_is_not_a_number_is_no_success(here):
    assert [here["in_words"](ratio) for ratio in (0.5, 1.0, 5.0, float("nan"))] == [
        "fell", "hardly moved", "more than doubled", "more than doubled"
    ]  # fmt: skip


def test_after_a_lesson_the_unet_is_as_before(toy_pipe, here):
    before = [p.clone() for p in toy_pipe.unet.parameters()]
    parameters = lora.add(toy_pipe, rank=4, seed=1)
    here["LESSONS"] = {"right": [torch.ones_like(p) for p in parameters]}
    lora.remove(toy_pipe)
    right = here["film"]()
    taught = here["film"](within=lambda: here["taught"]("right"))
    assert first_apart(right.stages, taught.stages) == "first answer"
    assert all(torch.equal(a, b) for a, b in zip(before, toy_pipe.unet.parameters(), strict=True))
    toy_pipe.unet.requires_grad_(True)


# --- the guide


def broken() -> set[str]:
    """The names that the notebook puts into BREAK."""
    targets = [ast.unparse(n.targets[0]) for n in nodes(NOTEBOOK) if isinstance(n, ast.Assign)]
    return {m[1] for t in targets if (m := re.fullmatch(r"BREAK\['(.+)'\]", t))}


def rows() -> dict[str, str]:
    """Mistake -> its row in the notebook's tables."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    lines = [line for c in cells if c.cell_type == "markdown" for line in c.source.splitlines()]
    found = [line.split("|") for line in lines if line.startswith("| ")]
    return {cells[1].strip(): cells[-2] for cells in found if cells[1].strip() != "mistake"}


def test_each_mistake_has_a_row_with_a_public_report():
    assert broken() == set(rows()) and len(broken()) >= 16
    assert [name for name, reports in rows().items() if not REPORT.search(reports)] == []


def test_the_box_holds_the_causes_of_the_check_in_its_order():
    box = ast.literal_eval(assigned("BOX"))
    assert list(box) == sorted(measuring.HINTS) and set(box) <= broken()
    assert "default_rng(12).permutation(len(BOX))" in ast.unparse(assigned("order"))


def test_no_line_of_code_is_clipped_in_the_page():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert [line for c in cells if c.cell_type == "code" for line in c.source.splitlines() if len(line) > 92] == []
