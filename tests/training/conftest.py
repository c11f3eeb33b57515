"""Toy sizes, for tests of how networks are trained and not of what they learn."""

import pytest

from t2v_helpers.training import autoencoder, denoiser


@pytest.fixture(scope="module")
def toy_sizes():
    """The cartoon model's networks with few channels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autoencoder, "WIDTHS", (8, 8, 8, 8))
        patch.setattr(denoiser, "WIDTHS", (16, 16))
        yield
