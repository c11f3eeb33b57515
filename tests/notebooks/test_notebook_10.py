"""Notebook 10 computes what the package computes: its functions are taken out, run, and held against it."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from notebook_functions import functions, source

from t2v_helpers import metrics
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.course import costs
from t2v_helpers.inside import feature_reuse, unet
from t2v_helpers.model import denoising, generate
from t2v_helpers.studies import speedups

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "10_speed.ipynb"
SPEC = GenerationSpec("a dog is dancing", steps=5, frames=2)


def cells() -> list:
    return nbformat.read(NOTEBOOK, as_version=4).cells


@pytest.fixture(scope="module")
def here(toy_pipe) -> dict:
    """The notebook's functions, and the names that they look up."""
    names = {
        "np": np,
        "torch": torch,
        "denoising": denoising,
        "generate": generate,
        "feature_reuse": feature_reuse,
        "speedups": speedups,
    }
    names |= {"time": __import__("time"), "F": torch.nn.functional, "pipe": toy_pipe, "spec": SPEC}
    exec(source(functions(NOTEBOOK)), names)  # the repository's own notebook
    return names


@pytest.fixture(scope="module")
def net(toy_pipe) -> unet.UNet3D:
    return unet.from_diffusers(toy_pipe.unet)


@pytest.fixture
def inputs(net):
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(2, net.config.in_channels, 3, 8, 8, generator=generator)  # [2 c f h w]
    return x_t, torch.randn(2, 5, net.config.cross_attention_dim, generator=generator)  # [2 t d]


@torch.no_grad()
def test_its_last_layer_is_the_packages(here, net, inputs):
    x_t, text = inputs
    _, deep = feature_reuse.all_layers(net, x_t + 1, 500, text)
    found = here["last_layer_only"](net, x_t, 500, text, deep)
    assert torch.equal(found, feature_reuse.last_layer(net, x_t, 500, text, deep))


@pytest.mark.parametrize("every", [1, 2, 3])
@torch.no_grad()
def test_its_reuse_is_the_packages(here, net, inputs, every, solution, monkeypatch):
    monkeypatch.setitem(here, "reuse", solution("10_3", "reuse"))
    (x_t, _), text = inputs[0].split(1), inputs[1]
    ours, theirs = here["reusing"](net, text, 4.0, every), feature_reuse.Shortcuts(every)(net, text, 4.0)
    for t in (900, 600, 300, 100):
        torch.testing.assert_close(ours(x_t, torch.tensor(t)), theirs(x_t, torch.tensor(t)), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_its_limit_of_guidance_is_the_packages(here, net, inputs):
    (x_t, _), text = inputs[0].split(1), inputs[1]
    ours, theirs = here["limited"](net, text, 4.0, 500), feature_reuse.Shortcuts(guided_above=500)(net, text, 4.0)
    for t in (900, 500, 499):
        torch.testing.assert_close(ours(x_t, torch.tensor(t)), theirs(x_t, torch.tensor(t)))


def test_its_deep_features_are_those_that_the_package_keeps(here, toy_pipe, net, monkeypatch):
    monkeypatch.setitem(here, "net", net)
    monkeypatch.setitem(here, "WIDTH", net.config.block_out_channels[0])
    before, toy_pipe.unet = toy_pipe.unet, net
    try:
        seen, noise = here["deep_features"](toy_pipe, SPEC)
        x_t = denoising.initial_latents(toy_pipe, [SPEC])
        with torch.no_grad():
            words = denoising.encode_prompt(toy_pipe, SPEC)
            first = next(denoising.denoise(toy_pipe, SPEC)).timestep
            _, deep = feature_reuse.all_layers(net, torch.cat([x_t, x_t]), first, words)
    finally:
        toy_pipe.unet = before
    assert len(seen) == len(noise) == SPEC.steps
    torch.testing.assert_close(seen[0], deep)


def test_its_predictor_is_taken_off_again_also_after_an_error(here, toy_pipe):
    with pytest.raises(ZeroDivisionError):
        here["video_with"](lambda *given: 1 / 0)
    assert "predictor" not in vars(toy_pipe)


def test_alike_is_the_cosine_of_neighbours(here):
    assert here["alike"]([torch.tensor([1.0, 0]), torch.tensor([2.0, 0]), torch.tensor([0, 3.0])]) == [1.0, 0.0]


def test_its_rates_are_positive_and_its_clock_counts(here):
    assert here["gemm_rate"](64, 2) > 0 and here["conv_rate"](4, 8, 2) > 0 and here["copy_rate"](1, 2) > 0
    assert here["seconds_of"](lambda: sum(range(10))) >= 0


def test_its_medians_are_taken_in_turns(here):
    order = []
    found = here["medians"]({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=3)
    assert order == ["a", "b"] * 3 and set(found) == {"a", "b"} and min(found.values()) >= 0


def test_it_reads_a_video_against_its_own_sentence(here, monkeypatch):
    monkeypatch.setattr(speedups, "made", lambda pipe, option, spec: (speedups.item_of(spec.seed).frames, 0.0))
    monkeypatch.setitem(here, "metrics", metrics)
    assert here["as_asked"](None, 7)
    monkeypatch.setattr(speedups, "made", lambda pipe, option, spec: (speedups.item_of(spec.seed + 1).frames, 0.0))
    assert not here["as_asked"](None, 7)


def test_its_price_is_what_the_package_computes(here, net, inputs):
    calls = []
    hook = net.mid_block.register_forward_pre_hook(lambda *_: calls.append(1))
    predict = feature_reuse.Shortcuts(3)(net, inputs[1], 4.0)
    with torch.no_grad():
        for t in range(900, 200, -100):
            predict(inputs[0][:1], torch.tensor(t))
    hook.remove()
    assert here["price"](7, 3, 1, 0) == len(calls) and here["price"](7, 3, 0, 1) == 7 - len(calls)


def test_the_formulas_of_the_exercises_hold_at_their_ends(solution):
    assert solution("10_1", "amdahl")(1.0, 3.0) == pytest.approx(3)
    assert solution("10_2", "attainable")(1e9, 7.0, 1.0) == 7.0


def test_it_shows_the_list_of_what_was_not_run():
    shown = [out["data"]["text/markdown"] for cell in cells() for out in cell.get("outputs", ())
             if "text/markdown" in out.get("data", {})]  # fmt: skip
    assert costs.not_run_here().strip() in [text.strip() for text in shown]
