"""Flow matching as an objective: its target and its times against the equations."""

import pytest
import torch

from t2v_helpers.training.later import flow


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
