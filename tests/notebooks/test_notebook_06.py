"""Notebook 06 computes what the package and the libraries compute: its functions are held against them."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from notebook_functions import functions, source
from torch import nn
from torch.nn import functional as F

from t2v_helpers import cartoon, checks, metrics
from t2v_helpers.core import layout, video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.course import swaps
from t2v_helpers.diffusion import noise
from t2v_helpers.metrics import power
from t2v_helpers.model import denoising, loading
from t2v_helpers.model.swapping import Adapted, hidden, swapped_part
from t2v_helpers.training import finetune

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "06_swapping_components.ipynb"
SPEC = GenerationSpec("a dog is dancing", steps=2, frames=2, height=32, width=32)


def namespace(pipe, **names) -> dict:
    """The notebook's functions for a pipeline, and the names that they look up."""
    here = {"np": np, "torch": torch, "copy": copy, "F": F, "N": 1, "pipe": pipe, "IS_CARTOON": True}
    here |= {"cartoon": cartoon, "denoising": denoising, "layout": layout, "metrics": metrics, "loading": loading}
    here |= {"noise": noise, "Adapted": Adapted, "hidden": hidden, "finetune": finetune, "video": video}
    here |= {"swapped_part": swapped_part, "GenerationSpec": GenerationSpec, "power": power, "swaps": swaps} | names
    here["own"] = {name: getattr(pipe, name) for name in ("vae", "unet", "text_encoder")}
    exec(source(functions(NOTEBOOK)), here)  # the repository's own notebook
    return here


@pytest.fixture
def here(toy_pipe) -> dict:
    with torch.no_grad():
        yield namespace(toy_pipe)


def some(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# --- decoders


def test_what_it_decodes_is_what_generate_decodes(toy_pipe, here):
    latents = some(2, 8, 3, 4, 4)
    wanted = denoising.decode_latents(toy_pipe, latents)
    assert np.array_equal(np.stack(here["decoded"](toy_pipe.vae, latents.split(1))), wanted)


def test_its_latents_are_those_of_the_seed(toy_pipe):
    item = cartoon.item(0, 0, 1, split="all")
    with torch.no_grad():
        found = namespace(toy_pipe, items=[item, item], STEPS=2, FRAMES=2)["latents_of"](1)
    *_, last = denoising.denoise(toy_pipe, GenerationSpec(item.caption, seed=1, steps=2, frames=2))
    assert torch.equal(found, last.latents)


def test_its_encoding_is_scaled(toy_pipe):
    images = some(3, 3, 32, 32)
    with torch.no_grad():
        z = namespace(toy_pipe, images=images)["encoded"](toy_pipe.vae)
        wanted = toy_pipe.vae.encode(images).latent_dist.mean * toy_pipe.vae.config.scaling_factor
    torch.testing.assert_close(z, wanted)


def test_a_copy_with_another_factor_leaves_the_old_one(toy_pipe, here):
    before = toy_pipe.vae.config.scaling_factor
    other = here["with_factor"](toy_pipe.vae, 1.0)
    assert (other.config.scaling_factor, toy_pipe.vae.config.scaling_factor) == (1.0, before)


def test_a_renumbered_vae_is_as_good_and_has_other_latents(toy_pipe, here, solution):
    vae, x, order = toy_pipe.vae, some(2, 3, 32, 32), torch.tensor([3, 0, 1, 2, 7, 6, 5, 4])
    other = here["renumbered"](vae, order)
    mine, theirs = vae.encode(x).latent_dist, other.encode(x).latent_dist
    torch.testing.assert_close(theirs.mean, mine.mean[:, order])
    torch.testing.assert_close(theirs.logvar, mine.logvar[:, order])
    torch.testing.assert_close(other.decode(theirs.mean).sample, vae.decode(mine.mean).sample, atol=1e-5, rtol=1e-4)
    assert solution("06_3", "find_order")(here["rows"](mine.mean), here["rows"](theirs.mean)) == order.tolist()


def test_its_rows_are_positions(here):
    x = some(2, 3, 4, 5)
    assert torch.equal(here["rows"](x)[5 * 2 + 1], x[0, :, 2, 1])


# --- maps


@pytest.mark.parametrize("shape", [(50, 3, 2), (30, 5, 5)])
def test_the_least_squares_of_exercise_2_are_the_packages_and_torchs(solution, shape):
    n, d, e = shape
    x, y = some(n, d), some(n, e) + 2
    wanted = torch.linalg.lstsq(torch.cat([x, torch.ones(n, 1)], dim=1), y).solution
    for fit in (solution("06_2", "least_squares"), swaps.least_squares):
        weight, bias = fit(x, y)
        torch.testing.assert_close(torch.cat([weight, bias[None]]), wanted, atol=1e-4, rtol=1e-4)


def test_its_preview_is_the_linear_map_of_each_position(here):
    x = some(1, 8, 2, 4, 4)
    here |= {"weight": some(8, 3) / 9, "bias": torch.zeros(3)}
    found = here["preview"](x)
    at = (x[0, :, 1, 2, 3] @ here["weight"]).clamp(-1, 1)
    assert found.shape == (2, 32, 32, 3)
    assert np.abs(found[1, 16:24, 24:].astype(float) - ((at + 1) * 127.5).numpy()).max() <= 1


def test_its_layer_multiplies_from_the_right(here):
    x, weight, bias = some(4, 3), some(3, 2), some(2)
    torch.testing.assert_close(here["as_layer"](weight, bias)(x), x @ weight + bias)
    torch.testing.assert_close(here["as_layer"](weight)(x), x @ weight)


def test_explained_is_1_for_the_truth_and_0_for_the_mean(here):
    y = some(10, 3)
    assert here["explained"](y, y) == 1
    assert here["explained"](y.mean(0).expand(10, 3), y) == pytest.approx(0, abs=1e-6)


# --- text


def test_its_embeddings_are_the_pipelines(toy_pipe, here):
    tokens = here["tokens_of"](["a dog is dancing"])
    wanted = denoising.encode_prompt(toy_pipe, SPEC)[1]  # [t d]
    torch.testing.assert_close(here["embeddings"](toy_pipe.text_encoder, tokens), wanted)


def test_it_prints_the_error_that_comes_back(here, capsys):
    here["attempt"]("this UNet", lambda: torch.zeros(24, 31) @ torch.zeros(32, 5))
    here["attempt"]("this UNet", lambda: torch.zeros(24, 32) @ torch.zeros(32, 5))
    said = capsys.readouterr().out
    assert said.startswith("this UNet: RuntimeError: ") and said.count("\n") == 1
    assert "mat1 and mat2 shapes cannot be multiplied" in said  # torch 2.15 names the operator before it


def test_the_training_through_the_unet_moves_the_adapter_alone(toy_pipe):
    adapter = nn.Linear(32, 32)
    encoder = Adapted(toy_pipe.text_encoder.requires_grad_(False), adapter)
    names = {"x_0": some(4, 8, 2, 4, 4), "abars": toy_pipe.scheduler.alphas_cumprod, "HELD": range(3, 4)}
    toy_pipe.unet.requires_grad_(False)  # as the notebook does before
    before = {name: p.clone() for name, p in toy_pipe.unet.named_parameters()}
    with torch.no_grad():
        here = namespace(toy_pipe, drawn=[cartoon.item(0, i, 1) for i in range(4)], **names)
        apart = here["answers_apart"](encoder, [3], seed=0)
        assert here["answers_apart"](toy_pipe.text_encoder, [3], seed=0) == 0 < apart
        *_, (_, new) = here["train_through"](encoder, steps=3, batch=2)
        assert not torch.equal(new.adapter.weight, adapter.weight)
    assert all(torch.equal(p, before[name]) for name, p in toy_pipe.unet.named_parameters())
    assert not any(p.grad is not None for p in toy_pipe.text_encoder.parameters())
    toy_pipe.unet.requires_grad_(True), toy_pipe.text_encoder.requires_grad_(True)


# --- exercises


def test_the_borrowing_of_exercise_1_is_that_of_swapped_part(toy_pipe, solution):
    before, new = toy_pipe.vae, copy.deepcopy(toy_pipe.vae)
    for swap in (lambda: solution("06_1", "borrowed")(toy_pipe, "vae", new), lambda: swapped_part(toy_pipe, vae=new)):
        with pytest.raises(KeyError, match="inside"), swap() as pipe:
            assert pipe is toy_pipe and pipe.vae is new
            raise KeyError("inside")
        assert toy_pipe.vae is before


def test_the_check_of_exercise_1_reads_other_answers(solution):
    assert "is `@contextmanager` above it" in checks.check_06_1(lambda *_: 3).word
    assert "Whoever stops a cell" in checks.check_06_1(solution("06_1", "borrowed")).word


@pytest.mark.parametrize(
    ("value", "word"), [(1.0, "two tensors"), (("a", "b"), "a tensor of shape"), (None, "gave back nothing")]
)
def test_the_check_of_exercise_2_reads_other_answers(value, word):
    verdict = checks.check_06_2(lambda *_: value)
    assert not verdict and word in verdict.word


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (7, "each of the channels"),
        ([0, 1, 2, 3, 4, 5], "in which they came"),
        ([5, 4, 3, 2, 1, 0], "is right: channels"),
    ],
)
def test_the_check_of_exercise_3_reads_other_answers(value, word):
    verdict = checks.check_06_3(lambda *_: value)
    assert not verdict and word in verdict.word
