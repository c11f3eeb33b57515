"""Notebook 01 builds what the library builds: its functions and classes are taken out, and run beside the library's."""

import ast
import math
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2v_helpers import metrics
from t2v_helpers.core import layout
from t2v_helpers.inside import unet

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_architecture.ipynb"
BOTH = pytest.mark.parametrize("scale", ["toy_pipe", "hub_pipe"])


def definitions() -> str:
    """The source of every function and class that the notebook defines, exercises left out."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [c.source for c in cells if c.cell_type == "code" and "exercise" not in c.metadata.get("tags", [])]
    found = [node for source in code for node in ast.parse(source).body]
    return "\n".join(ast.unparse(node) for node in found if isinstance(node, ast.FunctionDef | ast.ClassDef))


HERE = {"torch": torch, "nn": nn, "F": F, "np": np, "math": math, "ledger": {}}
exec(definitions(), HERE)  # the repository's own notebook


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def same(mine, theirs):
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


# --- axes


def test_frames_are_folded_as_the_package_folds_them():
    x = normal(2, 3, 4, 5, 6)  # [b c f h w]
    assert torch.equal(HERE["fold"](x), layout.fold_frames(x))
    assert torch.equal(HERE["unfold"](HERE["fold"](x), 2), x)


# --- parts of a layer


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_is_that_of_torch(kernel):
    part, x = nn.Conv2d(4, 6, kernel, padding=kernel // 2), normal(2, 4, 5, 7)
    same(HERE["conv"](x, part), part(x))


@pytest.mark.parametrize("shape", [(2, 8, 5), (2, 8, 3, 4), (2, 8, 3, 4, 5)])
def test_group_norm_and_silu_are_those_of_torch(shape):
    part, x = nn.GroupNorm(4, 8), normal(*shape)
    nn.init.normal_(part.weight), nn.init.normal_(part.bias)
    same(HERE["group_norm"](x, part), part(x))
    same(HERE["silu"](x), F.silu(x))


def test_the_clock_is_that_of_the_package():
    mine, theirs = HERE["sinusoidal"](600, 64), unet.sinusoidal(torch.tensor([600]), 64)[0]
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)  # an angle of 600 has steps of 6e-5 in float32


def test_along_time_is_a_convolution_of_torch():
    frames, weights = [1.0, -2, 3, 5, 0], [0.5, 2, -1]
    wanted = F.conv1d(torch.tensor([[frames]]), torch.tensor([[weights]]), padding=1)[0, 0]
    same(torch.tensor(HERE["along_time"](frames, *weights)), wanted)


def test_attention_is_that_of_torch_and_hides_what_is_to_be_hidden():
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 7, 4, seed=1), normal(2, 3, 7, 6, seed=2)
    hidden = torch.ones(5, 7, dtype=torch.bool).triu(2)
    same(HERE["attention"](q, k, v), F.scaled_dot_product_attention(q, k, v))
    same(HERE["attention"](q, k, v, hidden), F.scaled_dot_product_attention(q, k, v, attn_mask=~hidden))


# --- the layer and its parts, against diffusers


def inputs(pipe, frames=3):
    """(pictures of two videos, time, text for each frame) as the layers of the first block read them."""
    width = pipe.unet.config.block_out_channels[0]
    x = normal(2 * frames, width, 4, 5)  # [(b f) c h w]
    return x, normal(2, 4 * width, seed=1), normal(2, 6, pipe.unet.config.cross_attention_dim, seed=2)


@BOTH
def test_a_layer_and_its_parts_are_those_of_diffusers(scale, request):
    pipe = request.getfixturevalue(scale)
    block, (x, time, text) = pipe.unet.down_blocks[0], inputs(pipe)
    each = text.repeat_interleave(3, dim=0)  # [(b f) t d]
    after = [block.resnets[0](x, time.repeat_interleave(3, dim=0))]
    same(HERE["spatial_conv"](x, time, block.resnets[0]), after[-1])
    after.append(block.temp_convs[0](after[-1], num_frames=3))
    same(HERE["temporal_layer"](after[0], block.temp_convs[0], 2), after[-1])
    after.append(block.attentions[0](after[-1], encoder_hidden_states=each, return_dict=False)[0])
    same(HERE["spatial_transformer"](after[1], block.attentions[0], each), after[-1])
    after.append(block.temp_attentions[0](after[-1], num_frames=3, return_dict=False)[0])
    same(HERE["temporal_transformer"](after[2], block.temp_attentions[0], 2), after[-1])
    same(HERE["layer"](x, time, text, block), after[-1])


@BOTH
def test_a_layer_that_changes_its_channels_is_that_of_diffusers(scale, request):
    pipe = request.getfixturevalue(scale)
    part = pipe.unet.up_blocks[-1].resnets[0]
    assert part.conv_shortcut is not None
    x, time = normal(4, part.in_channels, 4, 4), normal(2, part.time_emb_proj.in_features, seed=1)
    same(HERE["spatial_conv"](x, time, part), part(x, time.repeat_interleave(2, dim=0)))


def test_the_readers_convolution_does_the_work_of_the_models(toy_pipe):
    part, x = toy_pipe.unet.down_blocks[0].temp_convs[0], inputs(toy_pipe)[0]
    answer = {}
    exec(NOTEBOOK.with_name("solutions").joinpath("01_2.py").read_text(), answer)  # the repository's own
    for convolve in (HERE["on_a_view"], answer["temporal_conv"]):
        same(HERE["temporal_layer"](x, part, 2, convolve), part(x, num_frames=3))


# --- text encoder and decoder


@BOTH
def test_the_text_encoder_is_that_of_transformers(scale, request):
    theirs = request.getfixturevalue(scale).text_encoder
    ids = torch.randint(0, theirs.config.vocab_size, (2, 9), generator=torch.Generator().manual_seed(0))
    same(HERE["text_encoder"](ids, theirs), theirs(ids).last_hidden_state)


@BOTH
def test_the_decoder_is_that_of_diffusers(scale, request):
    theirs = request.getfixturevalue(scale).vae
    z = normal(2, theirs.config.latent_channels, 3, 4)
    same(HERE["decoder"](z, theirs.decoder), theirs.decoder(z))


# --- measuring


def test_flicker_is_that_of_the_package():
    frames = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)
    assert HERE["flicker"](frames) == metrics.flicker(frames) > 0


def test_a_difference_is_a_part_of_the_largest_value(capsys):
    HERE["compare"]("toy", torch.tensor([1.0, 5.0]), torch.tensor([2.0, -4.0]))
    assert HERE["ledger"]["toy"] == 9 / 4 and "2.2e+00" in capsys.readouterr().out
    with pytest.raises(AssertionError, match=r"\[2\] is compared with \[3\]"):
        HERE["compare"]("toy", torch.zeros(2), torch.zeros(3))
