"""The decoder's second training: it gains contrast, and neither the encoder nor the latents change."""

import numpy as np
import pytest
import torch

from t2v_helpers import cartoon
from t2v_helpers.core import layout, seeding
from t2v_helpers.training import autoencoder, decoder, loop


@pytest.fixture
def vae(toy_sizes):
    return seeding.seeded(0, autoencoder.new_vae)


def test_a_batch_follows_from_the_step_and_its_latents_are_noisy(vae):
    task = decoder.DecoderTask(decoder.DecoderSettings(batch=2), vae, 2.0)
    (x, mask, z), again, other = (task.batch(k) for k in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip((x, mask, z), again, strict=True)) and not torch.equal(x, other[0])
    assert x.shape == (2, 3, 64, 64) and mask.shape == (2, 1, 64, 64)
    with torch.no_grad():
        off = (z - vae.encode(x).latent_dist.mean).std().item()
    assert 0 < off < 2 * task.settings.noise / task.scaling_factor


def test_the_decoder_learns_and_the_encoder_stays(vae, tmp_path):
    before = {name: x.clone() for name, x in vae.state_dict().items()}
    task = decoder.DecoderTask(decoder.DecoderSettings(steps=20, batch=4, warm_up=2, lr=5e-3), vae, 1.0)
    losses = [step.loss for step in loop.train(task, tmp_path)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    changed = {name.split(".")[0] for name, x in vae.state_dict().items() if not torch.equal(before[name], x)}
    assert changed == {"decoder", "post_quant_conv"}


def test_contrast_is_lost_in_a_blur_wherever_the_edge_is():
    frame = layout.to_float(torch.from_numpy(cartoon.item(0, 0, frames=1).frames[None]))[:, :, 0]
    blurred = torch.nn.functional.avg_pool2d(frame, 3, stride=1, padding=1, count_include_pad=False)
    sharp, soft, moved = (decoder.contrast(x).mean() for x in (frame, blurred, frame.roll(1, dims=-1)))
    assert soft < 0.6 * sharp and abs(moved - sharp) < 0.05 * sharp
    flat = torch.zeros(1, 3, 8, 8, requires_grad=True)
    decoder.contrast(flat).sum().backward()
    assert flat.grad.isfinite().all()


def test_contrast_is_that_of_the_laplacian():
    frame = torch.zeros(1, 1, 9, 9)
    frame[..., 4, 4] = 1
    squares = 4**2 + 4  # of the Laplacian of one bright pixel: -4 there, 1 at its four neighbours
    assert decoder.contrast(frame)[0, 0, 4, 4].item() == pytest.approx((squares / 25 + 1e-4) ** 0.5)
