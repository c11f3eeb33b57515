"""Shortcuts: the same numbers where nothing is left out, what is left out elsewhere; nothing goes between videos."""

from contextlib import contextmanager

import pytest
import torch

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import guidance
from t2v_helpers.diffusion.guidance import guided, in_two_passes
from t2v_helpers.inside import feature_reuse, unet
from t2v_helpers.inside.feature_reuse import Shortcuts
from t2v_helpers.model import denoising, generate

SPEC = GenerationSpec("a dog is dancing", steps=5, frames=3, scheduler="ddim", guidance=4.0)


@pytest.fixture(scope="module")
def net(toy_pipe) -> unet.UNet3D:
    return unet.from_diffusers(toy_pipe.unet)


@contextmanager
def working(pipe, net, predictor):
    """The pipeline with another UNet and predictor."""
    with pipe.using(unet=net, predictor=predictor):
        yield pipe


@pytest.fixture
def inputs(net):
    """x_t [1 c f h w], and text [2 t d]."""
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(1, net.config.in_channels, 3, 8, 8, generator=generator)
    return x_t, torch.randn(2, 5, net.config.cross_attention_dim, generator=generator)


@contextmanager
def calls_of(part):
    """The batch sizes with which a part is called."""
    seen = []
    hook = part.register_forward_pre_hook(lambda part, given: seen.append(len(given[0])))
    yield seen
    hook.remove()


# --- exact


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@torch.no_grad()
def test_guided_in_two_passes_or_with_nothing_left_out_is_the_same(net, inputs, guidance):
    x_t, text = inputs
    wanted = guided(net, text, guidance)(x_t, torch.tensor(500))
    for make in (in_two_passes, Shortcuts()):
        torch.testing.assert_close(make(net, text, guidance)(x_t, torch.tensor(500)), wanted, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_at_guidance_1_only_the_prompt_is_asked(net, inputs):
    x_t, text = inputs
    wanted = net(x_t, 500, text[1:]).sample
    for make in (guidance.guided, guidance.in_two_passes, Shortcuts()):
        with calls_of(net.conv_out) as seen:
            assert torch.equal(make(net, text, 1.0)(x_t, torch.tensor(500)), wanted)
        assert seen == [3]  # one half of three frames


# --- deep features


@torch.no_grad()
def test_the_last_layer_reads_what_all_layers_left(net, inputs):
    x_t, text = inputs
    x = torch.cat([x_t, x_t])
    noise_pred, deep = feature_reuse.all_layers(net, x, 500, text)
    assert torch.equal(noise_pred, net(x, 500, text).sample)
    torch.testing.assert_close(feature_reuse.last_layer(net, x, 500, text, deep), noise_pred, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(feature_reuse.last_layer(net, x, 500, text, deep + 1), noise_pred, atol=1e-3)


@torch.no_grad()
def test_the_middle_is_called_in_every_third_step_alone(net, inputs):
    x_t, text = inputs
    predict = Shortcuts(reuse=3)(net, text, 4.0)
    with calls_of(net.mid_block) as deep, calls_of(net.conv_in) as every:
        for t in (900, 700, 500, 300):
            predict(x_t, torch.tensor(t))
    assert len(deep) == 2 and len(every) == 4


@torch.no_grad()
def test_below_a_timestep_the_prompt_alone_is_asked_also_with_reused_features(net, inputs):
    x_t, text = inputs
    predict = Shortcuts(reuse=4, guided_above=500)(net, text, 4.0)
    with calls_of(net.conv_out) as seen, calls_of(net.mid_block) as deep:
        first, *_, last = [predict(x_t, torch.tensor(t)) for t in (900, 500, 499)]
    assert seen == [6, 6, 3] and len(deep) == 1
    _, kept = feature_reuse.all_layers(net, x_t, 900, text)
    assert torch.equal(last, feature_reuse.last_layer(net, x_t, 499, text[1:], kept[3:]))  # the prompt's half
    assert first.shape == last.shape == x_t.shape


@torch.no_grad()
def test_features_of_one_half_do_not_serve_both(net, inputs):
    x_t, text = inputs
    predict = Shortcuts(reuse=9, guided_above=500)(net, text, 4.0)
    with calls_of(net.mid_block) as deep:
        found = [predict(x_t, torch.tensor(t)) for t in (400, 600)]  # a sampler may go up again
    assert len(deep) == 2
    torch.testing.assert_close(found[1], guided(net, text, 4.0)(x_t, torch.tensor(600)))


def test_no_hook_is_left_behind_also_after_an_error(net):
    with pytest.raises(ValueError, match="is needed"):
        feature_reuse.all_layers(net, torch.zeros(1), 1, torch.zeros(1))
    assert not net.up_blocks[-1].resnets[-1]._forward_pre_hooks


# --- videos


def test_a_video_with_nothing_left_out_is_the_same(toy_pipe, net):
    wanted = generate.generate(toy_pipe, SPEC).frames
    with working(toy_pipe, net, Shortcuts()):
        found = generate.generate(toy_pipe, SPEC).frames
    assert abs(found.astype(int) - wanted).max() <= 1


def test_nothing_goes_from_one_video_to_another(toy_pipe, net):
    specs = [SPEC, GenerationSpec(**SPEC.to_dict() | {"seed": 1, "prompt": "a cat is jumping"})]
    with working(toy_pipe, net, Shortcuts(reuse=3, guided_above=300)):
        alone = [generate.generate(toy_pipe, spec).frames for spec in specs]
        stopped = denoising.denoise(toy_pipe, specs[1])
        next(stopped)  # a video that is never finished
        again = [made.frames for made in generate.generate_batch(toy_pipe, specs, 2)]
    assert all((a == b).all() for a, b in zip(alone, again, strict=True))


def test_a_sampler_gets_the_same_prediction_as_the_loop(toy_pipe, net):
    x_t = denoising.initial_latents(toy_pipe, [SPEC])
    with working(toy_pipe, net, Shortcuts(reuse=2)):
        step = next(denoising.denoise(toy_pipe, SPEC))
        assert torch.equal(denoising.guided(toy_pipe, SPEC)(x_t, step.timestep), step.noise_pred)


@pytest.mark.parametrize("given", ["fast", None, Shortcuts], ids=str)
def test_what_is_no_predictor_is_refused_before_any_computing(toy_pipe, net, given):
    with working(toy_pipe, net, given), pytest.raises(ValueError, match=r"pipe\.predictor=.* give Shortcuts"):
        denoising.denoise(toy_pipe, SPEC)


def test_the_chosen_shortcuts_leave_out_what_they_say(toy_pipe, net):
    with working(toy_pipe, net, feature_reuse.CHOSEN), calls_of(net.mid_block) as deep:
        generate.generate(toy_pipe, SPEC)
    assert len(deep) == -(-SPEC.steps // feature_reuse.CHOSEN.reuse)


# --- words and bad input


def test_shortcuts_tell_what_they_leave_out():
    assert str(Shortcuts()) == "none"
    assert str(Shortcuts(3, 500)) == "deep features at interval 3, guidance down to timestep 500"


@pytest.mark.parametrize("bad", [{"reuse": 0}, {"reuse": 2.5}, {"reuse": True}, {"guided_above": -1},
                                 {"guided_above": 1001}, {"guided_above": "all"}])  # fmt: skip
def test_a_shortcut_out_of_range_is_refused(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"{name}=.* is not allowed: use a whole number from"):
        Shortcuts(**bad)


def test_shortcuts_want_the_courses_unet(toy_pipe):
    with pytest.raises(ValueError, match="unet is a UNet3DConditionModel: Shortcuts need unet.from_diffusers"):
        Shortcuts(2)(toy_pipe.unet, torch.zeros(2, 5, 32), 4.0)
