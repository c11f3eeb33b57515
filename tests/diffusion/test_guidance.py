"""guidance: the formula, and both ways to compute its halves, for one sample and for several."""

import pytest
import torch

from t2v_helpers.diffusion import guidance


class Linear(torch.nn.Module):
    """A network whose noise is x_t times the text's sum: its two halves are known."""

    def forward(self, x, t, encoder_hidden_states, return_dict):
        return (x * encoder_hidden_states.sum(dim=(1, 2))[:, None, None, None, None],)


def test_combined_is_the_formula_of_guidance():
    halves = torch.tensor([2.0, 5.0]).view(2, 1, 1, 1, 1)
    assert guidance.combined(halves, 4.0).item() == 2 + 4 * (5 - 2)


@pytest.mark.parametrize("make", [guidance.guided, guidance.in_two_passes])
@pytest.mark.parametrize("scale, wanted", [(4.0, [2 + 4 * (5 - 2), 3 + 4 * (7 - 3)]), (1.0, [5, 7])])
def test_each_sample_of_a_batch_has_its_own_two_texts(make, scale, wanted):
    text = torch.tensor([2.0, 3.0, 5.0, 7.0]).view(4, 1, 1)  # two negative prompts, then two prompts
    found = make(Linear(), text, scale)(torch.ones(2, 1, 1, 1, 1), torch.tensor(500))
    assert found.flatten().tolist() == wanted
