"""The DiT as a training: the UNet's own, with another network, to a file that the pipeline takes."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from t2v_helpers.cartoon.tokenizer import new_tokenizer
from t2v_helpers.model.later import dit_file
from t2v_helpers.training import denoiser, loop
from t2v_helpers.training.later import dit


@pytest.fixture(scope="module")
def tasks():
    unet = denoiser.UnetTask(denoiser.UnetSettings(), None, new_tokenizer())
    return unet, dit.DitTask(dit.DitSettings(), None, unet.tokenizer, unet.modules["text_encoder"])


def test_all_of_it_costs_a_third_of_the_unets_training(tasks):
    unet, own = (dit.flops(task) for task in tasks)
    assert own[-1] == pytest.approx(unet[-1] / 3, rel=0.1)
    assert [len(unet), len(own)] == [task.steps for task in tasks] and sorted(own) == own


def test_flops_are_those_of_a_step_counted_by_itself(tasks):
    """An image, and a step of the last phase. What needs no gradient costs less on the way back, so it is not exact."""
    own = tasks[1]
    costs = dit.flops(own)
    for k, cost in ((0, costs[0]), (own.steps - 1, costs[-1] - costs[-2])):
        phase = own.phase(k)
        x = torch.zeros(1, 16, phase.frames, 8, 8)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            own.modules["unet"](x, torch.zeros(1), torch.zeros(1, 24, 128)).sample.sum().backward()
        assert cost == pytest.approx(phase.batch * counter.get_total_flops(), rel=0.06)


def test_the_plan_fits_together(tasks):
    own = tasks[1].settings
    assert own.steps == sum(one.steps for one in own.rounds)
    assert all(batch % 2 == 0 for batch in (own.images, *(phase.batch for phase in own.phases)))  # it is cut in halves


def test_the_text_encoder_does_not_learn(tasks):
    assert not any("text" in name for name in tasks[1].modules.state_dict())
    assert not tasks[1].embeddings(torch.zeros(1, 24, dtype=torch.long)).requires_grad


def test_the_file_stays_below_its_limit(tasks, tmp_path):
    path = tmp_path / "dit.safetensors"
    dit_file.save(tasks[1].modules["unet"], path)
    assert path.stat().st_size <= dit_file.MOST_BYTES


def test_weights_of_another_network_are_refused(tasks, tmp_path):
    unet, own = tasks
    loop.save(own, loop.start(own), tmp_path)
    assert loop.restore(own, tmp_path).done == 0
    with pytest.raises(ValueError, match="of other settings"):
        loop.restore(unet, tmp_path)


def test_it_learns_from_an_untrained_answer_of_zero(tasks):
    own = tasks[1]
    draw = torch.Generator().manual_seed(0)
    x_0, eps = (torch.randn(2, 16, 2, 8, 8, generator=draw) for _ in range(2))
    loss, shown = own.loss((x_0, eps, torch.tensor([10, 900]), torch.zeros(2, 24, dtype=torch.long)))
    assert shown["eps"] == pytest.approx(eps.square().mean().item()) and loss.requires_grad
