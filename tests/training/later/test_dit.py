"""The DiT as a training: the UNet's own, at the same FLOPs a step, to a file that the pipeline takes."""

import pytest
import torch

from t2v_helpers.cartoon.tokenizer import new_tokenizer
from t2v_helpers.inside import tracing
from t2v_helpers.model.later import dit_file
from t2v_helpers.training import data, denoiser, loop
from t2v_helpers.training.later import dit


@pytest.fixture(scope="module")
def tasks():
    return (
        denoiser.UnetTask(denoiser.UnetSettings(), None, new_tokenizer()),
        dit.DitTask(dit.DitSettings(), None, new_tokenizer()),
    )


def step_flops(task: denoiser.UnetTask, k: int) -> int:
    """FLOPs of step k's forward pass, the captions included, by torch's count; the way back costs twice as many."""
    phase = task.phase(k)
    x = torch.zeros(1, data.LATENT_CHANNELS, phase.frames, data.LATENT_SIZE, data.LATENT_SIZE)  # one clip
    words = torch.zeros(1, task.tokenizer.model_max_length, dtype=torch.long)
    reading = tracing.trace(task.modules["text_encoder"], words)
    with task.within(k):
        asked = x, torch.zeros(1), torch.zeros(*words.shape, denoiser.TEXT_WIDTH)
        denoising = tracing.trace(task.modules["unet"], *asked)
    return phase.batch * (reading.total.flops + denoising.total.flops)


@pytest.mark.parametrize("k", [0, 3001, 4501, 4504, 7501, 8701])
def test_a_step_costs_as_many_flops_as_the_unets(tasks, k):
    unet, own = (step_flops(task, k) for task in tasks)
    assert own == pytest.approx(unet, rel=0.025)
    assert tasks[0].phase(k).frames == tasks[1].phase(k).frames


def test_as_many_steps_of_the_same_lengths_and_even_batches(tasks):
    unet, own = (task.settings for task in tasks)
    assert [(phase.steps, phase.frames) for phase in own.phases] == [(p.steps, p.frames) for p in unet.phases]
    assert own.images_every == unet.images_every and own.steps == sum(one.steps for one in own.rounds) == unet.steps
    assert all(batch % 2 == 0 for batch in (own.images, *(phase.batch for phase in own.phases)))  # it is cut in halves


def test_the_file_stays_below_its_limit(tasks, tmp_path):
    path = tmp_path / "dit.safetensors"
    dit_file.save(tasks[1].modules, path)
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
