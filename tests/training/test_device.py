"""A training on another device: torch's "meta" computes no numbers, but refuses to mix devices, as a GPU does."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon.tokenizer import new_tokenizer
from t2v_helpers.core import seeding
from t2v_helpers.training import autoencoder, data, denoiser, loop, stages, student, tiny_autoencoder

pytestmark = [
    pytest.mark.usefixtures("toy_sizes"),
    pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter"),  # nothing is copied: nothing is there
]
PLAN = stages.Plan.quick(Path("runs"), Path("out"))
VAE = replace(PLAN.vae, steps=2, bfloat16=False)  # no autocast on meta


@pytest.fixture(scope="module")
def clips():
    x = torch.randn(4, data.LATENT_CHANNELS, data.FRAMES, data.LATENT_SIZE, data.LATENT_SIZE)
    return data.Clips(x.half(), [cartoon.item(0, i, frames=1).labels for i in range(4)], 1.0)


def new_vae():
    return seeding.seeded(0, autoencoder.new_vae).eval()


def unet_task(clips):
    phases = denoiser.Phase(1, 1, 4), denoiser.Phase(2, 2, 2)
    return denoiser.UnetTask(replace(PLAN.unet, phases=phases), clips, new_tokenizer())


def student_task(kind, settings, clips):
    taught = unet_task(clips)
    parts, empty = taught.modules.eval(), data.tokens(taught.tokenizer, [""])
    teacher = student.Teacher(parts["unet"], parts["text_encoder"], empty, taught.alphas_cumprod)
    return kind(replace(settings, steps=2, guidance=4.0), teacher, clips, taught.tokenizer)


TASKS = {
    "vae": lambda clips: autoencoder.VaeTask(VAE),
    "tiny": lambda clips: tiny_autoencoder.TinyTask(PLAN.tiny, new_vae()),
    "unet": unet_task,
    "halving": lambda clips: student_task(student.HalvingTask, PLAN.halvings[0], clips),
    "consistency": lambda clips: student_task(student.ConsistencyTask, PLAN.consistency, clips),
}


@pytest.mark.parametrize("name", TASKS)
def test_nothing_stays_behind(name, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "item", lambda self: 0.5)
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: True)
    task = TASKS[name](clips).to("meta")
    before_the_last = list(islice(loop.train(task, tmp_path), task.steps - 1))  # the last one is saved
    assert len(before_the_last) == task.steps - 1 > 0
    assert {p.device.type for p in task.modules.parameters()} == {"meta"}


def test_a_device_takes_a_batch_whole(clips):
    task = unet_task(clips)
    assert [len(part[0]) for part in loop._parts(task, task.batch(0))] == [2, 2]
    assert [len(part[0]) for part in loop._parts(task.to("meta"), task.batch(0))] == [4]


def test_a_training_moves_to_another_device_at_any_step(clips, tmp_path):
    list(islice(loop.train(unet_task(clips), tmp_path, save_every=1), 2))
    state = loop.restore(unet_task(clips).to("meta"), tmp_path)
    kept = [x for optimizer in state.optimizers for part in optimizer.state.values() for x in part.values() if x.ndim]
    assert state.done == 2 and {x.device.type for x in (*kept, *state.average.values())} == {"meta"}


def test_a_gpu_that_is_not_there_is_refused_before_any_training(tmp_path):
    with pytest.raises(ValueError, match="device='cuda:99' is not there"):
        stages.main(["judge", "--quick", "--runs", str(tmp_path / "runs"), "--device", "cuda:99"])
    assert not (tmp_path / "runs").exists()
