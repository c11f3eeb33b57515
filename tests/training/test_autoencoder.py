"""The autoencoder: batches that follow from the step."""

import pytest
import torch

from t2v_helpers.training import autoencoder

pytestmark = pytest.mark.usefixtures("toy_sizes")


def test_batches_follow_from_the_step_alone():
    task = autoencoder.VaeTask(autoencoder.VaeSettings(batch=2))
    first, again, other = task.batch(7), task.batch(7), task.batch(8)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])
    assert first[0].shape == (2, 3, 64, 64) and first[1].shape == (2, 1, 64, 64)
