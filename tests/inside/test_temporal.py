"""Temporal layers: silenced within a context, restored after it, and silent at the start of a training."""

import pytest
import torch

from t2v_helpers.core import seeding
from t2v_helpers.inside import temporal
from t2v_helpers.inside.unet import from_diffusers
from t2v_helpers.training import denoiser


@pytest.fixture(scope="module")
def unet():
    """The cartoon's UNet with all its temporal layers awake."""
    unet = seeding.seeded(0, denoiser.new_unet).eval()
    for layer in temporal.temporal_layers(unet):
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(1))
    return unet


@torch.no_grad()
def predict(unet, frames=3):
    generator = torch.Generator().manual_seed(2)
    x_t = torch.randn(1, unet.config.in_channels, frames, 8, 8, generator=generator)
    return unet(x_t, 500, torch.randn(1, 24, 128, generator=generator)).sample


def test_without_temporal_layers_each_frame_is_an_image(unet):
    generator = torch.Generator().manual_seed(2)
    x_t = torch.randn(1, unet.config.in_channels, 3, 8, 8, generator=generator)
    text = torch.randn(1, 24, 128, generator=generator)
    with torch.no_grad(), temporal.temporal_layers_off(unet):
        together = unet(x_t, 500, text).sample
        alone = torch.cat([unet(x_t[:, :, [f]], 500, text).sample for f in range(3)], dim=2)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(predict(unet), alone, atol=1e-3)


def test_each_kind_is_silenced_alone(unet):
    full = predict(unet)
    for kind in temporal.KINDS:
        with temporal.temporal_layers_off(unet, (kind,)):
            assert not torch.equal(predict(unet), full)
    assert torch.equal(predict(unet), full)


def test_the_layers_come_back_after_an_error(unet):
    full = predict(unet)
    with pytest.raises(RuntimeError, match="on purpose"), temporal.temporal_layers_off(unet):
        raise RuntimeError("on purpose")
    assert torch.equal(predict(unet), full)


# --- Conv3d as Conv2d


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 3, 16])
def test_a_conv2d_on_a_view_computes_the_same(unet, hub_pipe, frames):
    """In the real classes, at both layouts; every convolution along time takes part."""
    for net in (unet, hub_pipe.unet):
        x_t = torch.randn(2, net.config.in_channels, frames, 8, 8)
        text = torch.randn(2, 5, net.config.cross_attention_dim)
        wanted = net(x_t, 500, text).sample
        convs = [conv for conv in net.modules() if isinstance(conv, torch.nn.Conv3d)]
        with temporal.conv2d_on_a_view(net):
            assert all(conv.forward.func is temporal._as_conv2d for conv in convs)
            torch.testing.assert_close(net(x_t, 500, text).sample, wanted, rtol=1e-4, atol=2e-4)
        assert len(convs) == 4 * len(temporal.temporal_layers(net, ("convolution",)))
        assert not any("forward" in vars(conv) for conv in convs) and torch.equal(net(x_t, 500, text).sample, wanted)


def test_nothing_is_copied_on_the_way_in_and_the_gradients_are_those_of_conv3d(unet):
    conv = next(part for part in unet.modules() if isinstance(part, torch.nn.Conv3d))
    x = torch.randn(2, 3, conv.in_channels, 4, 4).transpose(1, 2)  # [b c f h w], as the layer sees it
    assert x.flatten(3).data_ptr() == x.data_ptr()
    (wanted,) = torch.autograd.grad(conv(x).square().sum(), conv.weight)
    with temporal.conv2d_on_a_view(unet):
        (found,) = torch.autograd.grad(conv(x).square().sum(), conv.weight)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_what_was_there_before_comes_back_also_after_an_error(unet):
    conv = next(part for part in unet.modules() if isinstance(part, torch.nn.Conv3d))
    conv.forward = own = lambda x: x
    with pytest.raises(RuntimeError, match="on purpose"), temporal.conv2d_on_a_view(unet):
        assert conv.forward is not own
        raise RuntimeError("on purpose")
    assert conv.forward is own
    del conv.forward
    with temporal.conv2d_on_a_view(unet):
        outer = conv.forward
        with temporal.conv2d_on_a_view(unet):
            assert conv.forward is not outer
        assert conv.forward is outer


def test_a_model_without_convolutions_along_time_is_refused():
    for net in (torch.nn.Linear(2, 2), torch.nn.Conv3d(2, 2, 3, padding=1)):
        with pytest.raises(ValueError, match=f"unet is a {type(net).__name__} without a Conv3d along time: give pipe"):
            with temporal.conv2d_on_a_view(net):
                pass


def test_a_new_unet_starts_as_an_image_model():
    unet = seeding.seeded(0, denoiser.new_unet).eval()
    with temporal.temporal_layers_off(unet):
        images = predict(unet)
    torch.testing.assert_close(predict(unet), images)


def test_an_unknown_kind_is_refused(unet):
    with pytest.raises(ValueError, match="kinds.*'spatial'.*convolution, attention"):
        temporal.temporal_layers(unet, ("spatial",))


def test_a_unet_without_diffusers_layers_is_refused(toy_pipe):
    own = from_diffusers(toy_pipe.unet)
    with pytest.raises(ValueError, match="unet .*UNet3D .*temporal"):
        with temporal.temporal_layers_off(own):
            pass
    with temporal.temporal_layers_off(own, ()):
        pass
