"""The autoencoder: batches that follow from the step, and a decoder that learns alone."""

import pytest
import torch

from t2v_helpers.core import seeding
from t2v_helpers.training import autoencoder, loop

pytestmark = pytest.mark.usefixtures("toy_sizes")


def test_batches_follow_from_the_step_alone():
    task = autoencoder.VaeTask(autoencoder.VaeSettings(batch=2))
    first, again, other = task.batch(7), task.batch(7), task.batch(8)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])
    assert first[0].shape == (2, 3, 64, 64) and first[1].shape == (2, 1, 64, 64)


def test_the_decoder_learns_and_the_encoder_stays(tmp_path):
    vae = seeding.seeded(0, autoencoder.new_vae)
    task = autoencoder.DecoderTask(autoencoder.DecoderSettings(steps=2, batch=2), autoencoder.VaeSettings(), vae)
    before = {name: x.clone() for name, x in task.vae.state_dict().items()}
    list(loop.train(task, tmp_path))
    moved = {name for name, x in task.vae.state_dict().items() if not torch.equal(x, before[name])}
    assert moved and all(name.startswith(("decoder.", "post_quant_conv.")) for name in moved)
