"""The DiT: its block against diffusers' own, its patches against a convolution, its place codes, its refusals."""

from itertools import product

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from torch.nn import functional as F

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.core.seeding import seeded
from t2v_helpers.inside import dit, tracing
from t2v_helpers.inside.dit import Config, DiT
from t2v_helpers.inside.unet import sinusoidal
from t2v_helpers.model.generate import generate
from t2v_helpers.model.pipeline import course_pipeline, fingerprint

SMALL = Config(in_channels=8, cross_attention_dim=32, width=24, depth=2, heads=2, most_frames=6)


def filled(config: Config = SMALL) -> DiT:
    """Small random weights everywhere: layers that start at zero would hide mistakes."""
    net = seeded(0, lambda: DiT(config))
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
    return net.eval()


@pytest.fixture
def given():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(2, 8, 3, 4, 6, generator=draw), torch.tensor([3, 900]), torch.randn(2, 5, 32, generator=draw)


def test_a_block_is_that_of_diffusers():
    """Its adaLN-single block; that has no norm before the words, so the words are left out in both."""
    ours = dit.Block(SMALL)
    theirs = BasicTransformerBlock(24, 2, 12, activation_fn="geglu", norm_type="ada_norm_single", norm_eps=1e-5,
                                   norm_elementwise_affine=False)  # fmt: skip
    weights = {name: torch.randn_like(x) / 5 for name, x in theirs.state_dict().items()}
    theirs.load_state_dict(weights)
    table = {"table": weights.pop("scale_shift_table")}
    ours.load_state_dict(weights | table, strict=False)
    x, six, text = torch.randn(2, 7, 24), torch.randn(2, 6, 24), torch.randn(2, 5, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x, six, text), theirs(x, timestep=six.flatten(1)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("patch", [(1, 2, 2), (2, 1, 3), (3, 4, 1)])
def test_patches_are_those_of_a_strided_convolution(patch):
    """So Wan, CogVideoX and others embed them."""
    x, weight = torch.randn(2, 8, 6, 4, 6), torch.randn(5, 8, *patch)
    by_conv = F.conv3d(x, weight, stride=patch).flatten(2).transpose(1, 2)  # [b n 5]
    torch.testing.assert_close(dit.cut(x, patch) @ weight.flatten(1).T, by_conv, atol=1e-4, rtol=1e-4)
    assert torch.equal(dit.join(dit.cut(x, patch), x.shape, patch), x)


def test_each_patch_is_told_its_frame_its_row_and_its_column():
    code = dit.places((3, 2, 4), 12)
    assert code.shape == (24, 12) and len({tuple(row.tolist()) for row in code}) == 24
    for row, place in zip(code, product(range(3), range(2), range(4)), strict=True):
        torch.testing.assert_close(row, sinusoidal(torch.tensor(place), 4).flatten())


def test_an_untrained_one_answers_zero_and_passes_patches_on(given):
    net = DiT(SMALL)
    assert not net(*given).sample.any()
    x = torch.randn(2, 7, 24)
    assert torch.equal(net.blocks[0](x, torch.zeros(2, 6, 24), given[2]), x)


def test_every_input_and_every_weight_counts(given):
    net = filled()
    sample, t, text = given
    out = net(sample, t, text).sample
    assert out.shape == sample.shape and net(sample, t, text, return_dict=False)[0].equal(out)
    for other in ((sample + 1, t, text), (sample, t - 2, text), (sample, t, text + 1)):
        assert not torch.allclose(net(*other).sample, out, atol=1e-3)
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_frames_have_numbers_and_a_unets_do_not(given):
    """Frames in another order: were it not for their numbers, the answer would be the same in that order."""
    net, (sample, t, text) = filled(), given
    there, here = net(sample.flip(2), t, text).sample.flip(2), net(sample, t, text).sample
    assert not torch.allclose(there, here, atol=1e-3)
    net._places = lambda sample: 0
    torch.testing.assert_close(net(sample.flip(2), t, text).sample.flip(2), net(sample, t, text).sample)


def test_a_sample_does_not_depend_on_its_batch(given):
    net, (sample, t, text) = filled(), given
    torch.testing.assert_close(net(sample, t, text).sample[:1], net(sample[:1], t[:1], text[:1]).sample)
    torch.testing.assert_close(net(sample[:1], 3, text[:1]).sample, net(sample[:1], t[:1], text[:1]).sample)


def test_it_takes_the_unets_place_in_the_pipeline(toy_pipe):
    pipe = course_pipeline(toy_pipe)
    spec = GenerationSpec("a dog is dancing", seed=1, steps=2, frames=3, guidance=2.0)
    before = generate(pipe, spec)
    with pipe.using(unet=filled()):
        made, again = generate(pipe, spec), generate(pipe, spec)
        assert made.frames.shape == (3, 64, 64, 3) and (made.frames == again.frames).all()
        assert fingerprint(pipe) == made.record.weights != before.record.weights
        pipe.unet.patch = (2, 1, 2)  # of the same number of weights
        assert fingerprint(pipe) != made.record.weights
    assert (generate(pipe, spec).frames == before.frames).all()


def test_more_frames_than_have_a_number_are_refused(toy_pipe):
    pipe = course_pipeline(toy_pipe)
    with pipe.using(unet=filled()), pytest.raises(ValueError, match="frames=7 .* numbers for 6"):
        generate(pipe, GenerationSpec("a dog is dancing", steps=1, frames=7))


@pytest.mark.parametrize("change, words", [
    ({"sample": torch.zeros(2, 4, 3, 4, 4)}, r"sample has shape \[2, 4, 3, 4, 4\].*\[b 8 f h w\]"),
    ({"sample": torch.zeros(2, 8, 4, 4)}, "sample has shape"), ({"sample": torch.zeros(2, 8, 0, 4, 4)}, "sample has"),
    ({"sample": torch.zeros(2, 8, 3, 5, 4)}, "height=5 .*2"), ({"sample": torch.zeros(2, 8, 3, 4, 3)}, "width=3 .*2"),
    ({"encoder_hidden_states": torch.zeros(1, 5, 32)}, r"encoder_hidden_states has shape \[1, 5, 32\]"),
    ({"encoder_hidden_states": torch.zeros(2, 5, 16)}, "encoder_hidden_states"), ({"class_labels": 1}, "class_labels"),
])  # fmt: skip
def test_what_it_cannot_read_is_refused(given, change, words):
    inputs = dict(zip(("sample", "timestep", "encoder_hidden_states"), given, strict=True)) | change
    with pytest.raises(ValueError, match=words):
        DiT(SMALL)(**inputs)


@pytest.mark.parametrize("change, words", [
    ({"width": 26}, "width=26"), ({"width": 24, "heads": 5}, "width=24.*5 heads"), ({"depth": 0}, "depth=0"),
    ({"patch": (2, 2)}, r"patch=\(2, 2\)"), ({"patch": (1, 2, 0)}, "patch=0"), ({"most_frames": 1.5}, "most_frames"),
])  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Config(**change)


def test_a_pipeline_finds_what_it_looks_up_in_a_config():
    assert Config().attention_head_dim == 32 and Config().block_out_channels == (192, 192)
    assert len(Config(patch=(1, 1, 1)).block_out_channels) == 1 and len(Config(patch=(1, 4, 2)).block_out_channels) == 3


def test_a_trace_knows_its_layers():
    with torch.device("meta"):
        net = DiT(SMALL)
        trace = tracing.trace(net, torch.zeros(1, 8, 4, 4, 4), torch.zeros(1), torch.zeros(1, 5, 32))
    kinds = trace.by_kind()
    n, d, t = 16, 24, 5
    assert kinds["attention over all"].flops == 2 * (8 * n * d * d + 4 * n * n * d)
    assert kinds["attention to text"].flops == 2 * (4 * n * d * d + 4 * t * 32 * d + 4 * n * t * d)
    assert kinds["feed-forward"].flops == 2 * (2 * n * d * 12 * d)
    assert kinds["patches"].flops == 2 * 2 * n * d * 32 and kinds["time embedding"].flops == 2 * 2 * d * d
