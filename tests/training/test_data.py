"""Training data: clips encoded once, and damaged files of them refused."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from t2v_helpers import cartoon
from t2v_helpers.core import seeding
from t2v_helpers.training import autoencoder, data
from t2v_helpers.training.data import FRAMES, LATENT_CHANNELS, LATENT_SIZE

pytestmark = pytest.mark.usefixtures("toy_sizes")


def test_cuts_are_consecutive_frames_of_one_clip():
    latents = torch.arange(6.0).view(1, 1, 6, 1, 1).expand(2, 8, 6, 4, 4) + 10 * torch.arange(2).view(2, 1, 1, 1, 1)
    x_0, chosen = data.cuts(latents, 40, 3, np.random.default_rng(0))
    firsts = x_0[:, 0, 0, 0, 0]
    assert torch.equal(x_0[:, 0, :, 0, 0], firsts[:, None] + torch.arange(3.0))
    assert np.array_equal(firsts // 10, chosen) and set((firsts % 10).tolist()) == {0, 1, 2, 3}


def test_timesteps_are_spread_over_the_whole_schedule():
    for seed in range(5):
        _, t = data.noise_and_timesteps(torch.zeros(10, 1, 1, 1, 1), np.random.default_rng(seed))
        assert [int(x) // 100 for x in t] == list(range(10))


def test_clips_are_of_size_one_and_keep_their_labels(tmp_path):
    path = tmp_path / "latents.safetensors"
    list(data.encode(seeding.seeded(0, autoencoder.new_vae).eval(), 5, 2, path))
    clips = data.Clips.load(path)
    assert clips.latents.shape == (2, LATENT_CHANNELS, FRAMES, LATENT_SIZE, LATENT_SIZE)
    assert clips.latents.float().std().item() == pytest.approx(1, abs=0.01)
    assert clips.labels == [cartoon.item(5, i, frames=1).labels for i in range(2)]


LABELS = json.dumps([{"subject": "dog", "action": "dancing"}])
GOOD = torch.randn(1, LATENT_CHANNELS, FRAMES, LATENT_SIZE, LATENT_SIZE, generator=torch.Generator().manual_seed(0))
STD = str(GOOD.std().item())


@pytest.mark.parametrize(
    "latents, about, why",
    [
        (GOOD, None, "its header lacks labels or std"),
        (GOOD, {"labels": "[", "std": STD}, "Expecting value"),
        (GOOD, {"labels": "[" * 200_000, "std": STD}, "it is nested deeper"),
        (GOOD, {"labels": "[1]", "std": STD}, "must be a mapping"),
        (GOOD, {"labels": LABELS.replace("dog", "gnu"), "std": STD}, "subject='gnu'"),
        (GOOD, {"labels": "[]", "std": STD}, "but it has 0 labels"),
        (GOOD[:, :4], {"labels": LABELS, "std": STD}, r"latents have shape \[1, 4, 16, 8, 8\]"),
        (GOOD, {"labels": LABELS, "std": "x"}, "could not convert string to float"),
        (GOOD, {"labels": LABELS, "std": "nan"}, "its header says std=nan"),
        (2 * GOOD, {"labels": LABELS, "std": STD}, "its header says std="),
        (0 * GOOD, {"labels": LABELS, "std": "0"}, "division by zero"),
    ],
)
def test_damaged_latents_are_refused(tmp_path, latents, about, why):
    path = tmp_path / "latents.safetensors"
    save_file({"latents": latents.contiguous()}, path, metadata={"labels": LABELS, "std": STD})
    if latents is GOOD:
        data.Clips.load(path)
    save_file({"latents": latents.contiguous()}, path, metadata=about)
    with pytest.raises(ValueError, match=f"latents.safetensors is damaged .*{why}"):
        data.Clips.load(path)


def test_missing_latents_and_other_files_are_refused(tmp_path):
    path = tmp_path / "latents.safetensors"
    with pytest.raises(FileNotFoundError, match=r"stage latents is not finished .*: run `t2v train latents`"):
        data.Clips.load(path)
    path.mkdir()
    with pytest.raises(ValueError, match=r"is damaged \(it is not a file\): delete it"):
        data.Clips.load(path)
    path.rmdir()
    path.write_text("xx")
    with pytest.raises(ValueError, match="is damaged .*: delete it"):
        data.Clips.load(path)
    save_file({"other": GOOD}, path, metadata={"labels": LABELS, "std": STD})
    with pytest.raises(ValueError, match="is damaged .*latents.*: delete it"):
        data.Clips.load(path)
