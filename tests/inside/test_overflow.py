"""A loud VAE computes the same in float32, overflows in half precision, and is another VAE than the one given."""

import pytest
import torch

from t2v_helpers.inside.overflow import loud


@torch.no_grad()
def test_the_loud_vae_is_the_same_in_float32_and_overflows_in_half(toy_pipe):
    z = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    before = {name: x.clone() for name, x in toy_pipe.vae.state_dict().items()}
    made = loud(toy_pipe.vae, 1e6)
    torch.testing.assert_close(made.decode(z).sample, toy_pipe.vae.decode(z).sample, atol=1e-3, rtol=1e-3)
    assert not made.half().decode(z.half()).sample.isfinite().all()
    assert all(torch.equal(x, before[name]) for name, x in toy_pipe.vae.state_dict().items())


def test_bad_input_is_refused(toy_pipe):
    with pytest.raises(ValueError, match="vae is"):
        loud(toy_pipe)
    for k in (0, -1.0):
        with pytest.raises(ValueError, match="k=.*above 0"):
            loud(toy_pipe.vae, k)
