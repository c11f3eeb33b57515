"""Flow matching as a training: its target against the equations, an exact resume, and no checkpoint of the noise."""

import numpy as np
import pytest
import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon.tokenizer import new_tokenizer
from t2v_helpers.diffusion import flow_matching
from t2v_helpers.training import data, denoiser, loop
from t2v_helpers.training.later import flow

TOY = denoiser.UnetSettings(
    phases=(denoiser.Phase(2, 1, 4), denoiser.Phase(2, 3, 2)), rounds=(denoiser.Round(4, 2e-3, 0.2),), images=2
)


@pytest.fixture(scope="module")
def clips() -> data.Clips:
    latents = torch.randn(4, 16, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    return data.Clips(latents.half(), [cartoon.item(0, i, frames=1).labels for i in range(4)], 1.0)


@pytest.fixture
def task(clips):
    return flow.FlowTask(TOY, clips, new_tokenizer())


def test_the_true_velocity_has_no_error_and_another_has_its_own():
    x_0, eps = torch.randn(2, 3, 4, 2, 5, 5)
    sigma = torch.tensor([0.0, 0.4, 1.0])
    seen = {}

    def predict(x_t, times):
        seen.update(x_t=x_t, times=times)
        return eps - x_0 + torch.tensor([0.0, 1.0, 3.0]).view(3, 1, 1, 1, 1)

    torch.testing.assert_close(flow.flow_error(predict, x_0, eps, sigma), torch.tensor([0.0, 1.0, 9.0]))
    assert seen["times"].tolist() == [0, 400, 1000]
    for i, expected in ((0, x_0[0]), (1, 0.6 * x_0[1] + 0.4 * eps[1]), (2, eps[2])):
        torch.testing.assert_close(seen["x_t"][i], expected)


def test_times_in_the_middle_are_logit_normal():
    u = (torch.arange(10_000) + 0.5) / 10_000
    logits = flow.in_the_middle(u).logit()
    assert logits.mean().abs() < 1e-3 and logits.std() == pytest.approx(1, abs=1e-2)
    share = (flow.in_the_middle(u) - 0.5).abs().lt(0.25).float().mean()
    assert share == pytest.approx(0.728, abs=0.001)  # Phi(ln 3) - Phi(-ln 3); of uniform times 0.5


def test_the_task_asks_the_same_unet_for_the_velocity(task):
    x_0, eps, t, words = task.batch(3)
    asked = {}

    def unet(x_t, times, text):
        asked.update(x_t=x_t, times=times, text=text)
        return denoiser.UNet3D.forward(task.modules["unet"], x_t, times, text)

    there = denoiser.UnetTask(TOY, task.clips, task.tokenizer).batch(3)
    assert all(torch.equal(a, b) for a, b in zip((x_0, eps, t, words), there, strict=True))
    task.modules["unet"].forward = unet
    loss, shown = task.loss((x_0, eps, t, words))
    sigma = asked["times"] / 1000
    torch.testing.assert_close(asked["x_t"], flow_matching.mix(x_0, eps, sigma))
    assert asked["times"].tolist() == (t + 1).tolist() and shown == {"frames": 3}
    assert loss.item() == pytest.approx(2, abs=0.6)  # whoever answers zero has the variance of eps - x_0


def test_it_learns_and_a_killed_training_ends_with_the_same_weights(clips, tmp_path):
    torch.set_num_threads(1)
    make = lambda: flow.FlowTask(TOY, clips, new_tokenizer())  # noqa: E731
    losses = [step.loss for step in loop.train(make(), tmp_path / "whole", save_every=1)]
    for step in loop.train(make(), tmp_path / "killed", save_every=1):
        if step.index == 2:
            break
    list(loop.train(make(), tmp_path / "killed", save_every=1))
    a, b = (loop.averaged(make(), tmp_path / name).state_dict() for name in ("whole", "killed"))
    assert np.isfinite(losses).all() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("first, then", [(flow.FlowTask, denoiser.UnetTask), (denoiser.UnetTask, flow.FlowTask)])
def test_a_checkpoint_of_another_objective_is_refused(first, then, clips, tmp_path):
    one = first(TOY, clips, new_tokenizer())
    loop.save(one, loop.start(one), tmp_path)
    with pytest.raises(ValueError, match="of other settings"):
        loop.restore(then(TOY, clips, new_tokenizer()), tmp_path)
