"""The segmenter: a logit for every pixel, and weights that survive a file."""

import pytest
import torch
from safetensors.torch import save_file

from t2v_helpers.cartoon import segmenter as segmenters
from t2v_helpers.cartoon import stored
from t2v_helpers.core import tensors


def test_it_gives_a_logit_for_every_pixel():
    network = segmenters.Segmenter()
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 64, 64)
    assert network(torch.zeros(1, 3, 32, 48)).shape == (1, 32, 48)


def test_a_pixel_depends_on_what_is_near_and_its_own_place():
    network, x = segmenters.Segmenter().eval(), torch.randn(1, 3, 64, 64, requires_grad=True)
    network(x)[0, 32, 32].backward()
    reach = x.grad.abs().sum(dim=(0, 1))  # [h w]
    assert reach[32, 32] > 0 and reach[16, 32] > 0


def test_weights_survive_a_file(tmp_path):
    network, x = segmenters.Segmenter().eval(), torch.randn(1, 3, 64, 64)
    stored.save(network, tmp_path / "s.safetensors", {"who": "a test"})
    torch.testing.assert_close(segmenters.load(tmp_path / "s.safetensors")(x), network(x), atol=2e-2, rtol=0)
    assert tensors.about(tmp_path / "s.safetensors") == {"who": "a test"}


def test_missing_and_other_weights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.safetensors"):
        segmenters.load(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(3)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match=r"other\.safetensors"):
        segmenters.load(tmp_path / "other.safetensors")
