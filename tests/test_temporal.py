"""Temporal layers: silenced within a context, restored after it, and silent at the start of a training."""

import pytest
import torch

from t2v_helpers import recipe, temporal


@pytest.fixture(scope="module")
def unet():
    """The cartoon's UNet with all its temporal layers awake."""
    unet = recipe.seeded(0, recipe.new_unet).eval()
    for layer in temporal.temporal_layers(unet):
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(1))
    return unet


@torch.no_grad()
def predict(unet, frames=3):
    generator = torch.Generator().manual_seed(2)
    x_t = torch.randn(1, 8, frames, 8, 8, generator=generator)
    return unet(x_t, 500, torch.randn(1, 24, 128, generator=generator)).sample


def test_without_temporal_layers_each_frame_is_an_image(unet):
    generator = torch.Generator().manual_seed(2)
    x_t, text = torch.randn(1, 8, 3, 8, 8, generator=generator), torch.randn(1, 24, 128, generator=generator)
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


def test_a_new_unet_starts_as_an_image_model():
    unet = recipe.seeded(0, recipe.new_unet).eval()
    with temporal.temporal_layers_off(unet):
        images = predict(unet)
    torch.testing.assert_close(predict(unet), images)


def test_an_unknown_kind_is_refused(unet):
    with pytest.raises(ValueError, match="kinds has 'spatial', but allowed are: convolution, attention"):
        temporal.temporal_layers(unet, ("spatial",))
