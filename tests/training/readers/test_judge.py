"""The training of the judge: batches from (seed, k) alone, an exact resume, and weights with their numbers."""

import json

import numpy as np
import pytest
import torch

from t2v_helpers import metrics
from t2v_helpers.cartoon import judge as judges
from t2v_helpers.core import tensors
from t2v_helpers.training import loop
from t2v_helpers.training.readers import judge

TOY = judge.JudgeSettings(steps=4, batch=3, pool=6, frames=6, lengths=(2, 4, 6))


def test_a_batch_follows_from_seed_and_step_alone():
    (a, a_wanted), (b, b_wanted) = judge.JudgeTask(TOY).batch(2), judge.JudgeTask(TOY).batch(2)
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert all(torch.equal(a_wanted[name], b_wanted[name]) for name in judges.CLASSES)
    other, _ = judge.JudgeTask(TOY).batch(3)
    assert other.shape != a.shape or not torch.equal(other, a)


def test_lengths_vary():
    lengths = {judge.JudgeTask(TOY).batch(k)[0].shape[2] for k in range(20)}
    assert lengths == {2, 4, 6}


def test_cuts_of_a_clip_differ():
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    rng = np.random.default_rng(1)
    cuts = [judge.disturbed_cut(frames, 4, TOY, rng) for _ in range(200)]
    same = sum(torch.allclose(cut, cuts[0]) for cut in cuts)
    assert {tuple(cut.shape) for cut in cuts} == {(3, 4, 64, 64)} and same < 30
    assert max(cut.abs().max() for cut in cuts) <= 1


def test_killed_and_started_again_ends_with_the_same_weights(tmp_path):
    for step in loop.train(judge.JudgeTask(TOY), tmp_path / "whole", save_every=2):
        assert np.isfinite(step.loss)
    for step in loop.train(judge.JudgeTask(TOY), tmp_path / "killed", save_every=2):
        if step.index == 3:
            break
    assert [s.index for s in loop.train(judge.JudgeTask(TOY), tmp_path / "killed", save_every=2)] == [3, 4]
    a, b = (loop.averaged(judge.JudgeTask(TOY), tmp_path / x).state_dict() for x in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_learns(tmp_path):
    settings = judge.JudgeSettings(steps=30, batch=8, pool=8, frames=4, lengths=(4,), warm_up=3)
    losses = [step.loss for step in loop.train(judge.JudgeTask(settings), tmp_path)]
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


def test_weights_are_written_with_their_accuracy(tmp_path):
    path = tmp_path / "judge.safetensors"
    accuracy = judge.export(judges.Judge().eval(), TOY, 4, path)
    assert json.loads(tensors.about(path)["accuracy"]) == accuracy
    assert set(accuracy) == set(metrics.DISTURBANCES) and accuracy["none"]["style"]["n"] == 4


@pytest.mark.parametrize("name", ["steps", "batch", "pool"])
def test_settings_out_of_range_are_named(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        judge.JudgeSettings(**{name: 0})


@pytest.mark.parametrize("lengths", [(), (0, 4), (4, 25)])
def test_lengths_out_of_range_are_named(lengths):
    with pytest.raises(ValueError, match="lengths=.* from 1 to 24"):
        judge.JudgeSettings(lengths=lengths)
