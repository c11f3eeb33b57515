"""Training: killed at any moment, it ends with the same weights as never killed."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from t2v_helpers.cartoon import tokenizer
from t2v_helpers.core import seeding
from t2v_helpers.training import autoencoder, data, denoiser, loop

pytestmark = pytest.mark.usefixtures("toy_sizes")


@pytest.fixture(scope="module")
def clips(tmp_path_factory, toy_sizes):
    """Three clips, encoded by an untrained autoencoder."""
    path = tmp_path_factory.mktemp("clips") / "latents.safetensors"
    assert list(data.encode(seeding.seeded(0, autoencoder.new_vae).eval(), 0, 3, path)) == [1, 2, 3]
    return data.Clips.load(path)


def vae_task(clips, steps=4, seed=0):
    return autoencoder.VaeTask(autoencoder.VaeSettings(steps=steps, batch=2, seed=seed))


def unet_task(clips, seed=0):
    phases = (denoiser.Phase(2, 1, 2), denoiser.Phase(2, 3, 1))
    settings = denoiser.UnetSettings(seed=seed, phases=phases, images=2, images_every=3, warm_up=2)
    return denoiser.UnetTask(settings, clips, tokenizer.new_tokenizer())


@dataclass(frozen=True)
class ToySettings:
    steps: int
    seed: int
    lr: float = 0.1
    warm_up: int = 1


class Toy(loop.Task):
    """Learn to give ones: the least that the loop can train."""

    name, ema = "toy", 0.9

    def __init__(self, steps=4, seed=0):
        super().__init__(ToySettings(steps, seed), seeding.seeded(seed, lambda: torch.nn.Linear(4, 2)))

    def batch(self, k):
        return torch.randn(3, 4, generator=seeding.generator(k))

    def loss(self, batch):
        return (self.modules(batch) - 1).square().mean(), {}


def final_weights(task, folder, stops=()):
    """Train to the end, killed (the generator dropped) after each count of steps in `stops`."""
    for stop in stops:
        for _ in islice(loop.train(task(), folder, save_every=1), stop):
            pass
    done = list(loop.train(task(), folder, save_every=1))
    with safe_open(str(folder / "checkpoint.safetensors"), "pt") as file:
        return len(done), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_what_a_killed_training_left_is_cleaned_up_even_where_nothing_is_left_to_do(tmp_path):
    list(loop.train(Toy(), tmp_path))
    killed = "import os, sys; from t2v_helpers.core import files; files.write_whole(sys.argv[1], lambda _: os._exit(9))"
    subprocess.run([sys.executable, "-c", killed, tmp_path / "checkpoint.safetensors"])
    assert len(os.listdir(tmp_path)) == 2
    assert list(loop.train(Toy(), tmp_path)) == [] and os.listdir(tmp_path) == ["checkpoint.safetensors"]


@pytest.mark.parametrize("make", [vae_task, unet_task])
def test_a_killed_training_ends_with_the_same_weights(make, clips, tmp_path):
    torch.set_num_threads(1)
    whole, expected = final_weights(lambda: make(clips), tmp_path / "whole")
    rest, found = final_weights(lambda: make(clips), tmp_path / "killed", stops=(1, 2))
    assert (whole, rest) == (4, 1)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_steps_are_counted_and_losses_finite(clips, tmp_path):
    steps = list(loop.train(unet_task(clips), tmp_path))
    assert [step.index for step in steps] == [1, 2, 3, 4] and {step.total for step in steps} == {4}
    assert all(math.isfinite(step.loss) for step in steps)
    assert [step.shown["frames"] for step in steps] == [1, 1, 3, 1]  # every third step of the videos is images


def test_the_average_follows_the_weights(tmp_path):
    task = Toy(steps=2)
    list(loop.train(task, tmp_path))
    weights = {name: x.clone() for name, x in task.modules.state_dict().items()}
    average = loop.averaged(Toy(steps=2), tmp_path).state_dict()
    moved = [name for name in weights if not torch.equal(weights[name], average[name])]
    assert len(moved) > len(weights) / 2


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    list(loop.train(Toy(steps=1), tmp_path))
    with pytest.raises(ValueError, match="is of other settings: seed is 0, not 1;"):
        next(loop.train(Toy(steps=1, seed=1), tmp_path))


def test_a_checkpoint_cut_short_is_refused(tmp_path):
    list(loop.train(Toy(steps=1), tmp_path))
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="is damaged"):
        next(loop.train(Toy(steps=1), tmp_path))


def header(**changed):
    return lambda tensors, about: about.update(changed)


def misshapen(tensors, about):
    tensors["average/bias"] = torch.zeros(3)


@pytest.mark.parametrize(
    "damage, why",
    [
        (lambda tensors, about: about.clear(), "its header lacks settings, done or tensors"),
        (header(settings="{"), "it is not JSON"),
        (header(settings="[" * 200_000), "it is nested deeper"),
        (header(settings="3"), "it holds a int"),
        (header(done="x"), "done='x'"),
        (header(done="-3"), "done='-3'"),
        (header(done="2"), "done='2'"),
        (lambda tensors, about: tensors.popitem(), "it has .* tensors, but its header says"),
        (misshapen, r"bias has shape \[3\]"),
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path, damage, why):
    list(loop.train(Toy(steps=1), tmp_path))
    path = tmp_path / "checkpoint.safetensors"
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        about = file.metadata()
    damage(tensors, about)
    save_file(tensors, path, metadata=about or None)
    with pytest.raises(ValueError, match=rf"checkpoint.safetensors is damaged \({why}"):
        loop.averaged(Toy(steps=1), tmp_path)


def test_an_unfinished_training_is_averaged_only_where_asked(tmp_path):
    next(loop.train(Toy(), tmp_path, save_every=1))
    with pytest.raises(ValueError, match=r"stage toy is not finished \(1 of 4 steps"):
        loop.averaged(Toy(), tmp_path)
    assert not loop.averaged(Toy(), tmp_path, finished=False).training


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    task = Toy()
    torch.nn.init.constant_(next(task.modules.parameters()), float("nan"))
    with pytest.raises(FloatingPointError, match="the loss of toy is nan at step 0"):
        next(loop.train(task, tmp_path))
    assert not (tmp_path / "checkpoint.safetensors").exists()


def planned(clips, steps, lr=1e-3, stretch=100, images=2):
    """A UNet's task of `steps` steps of video after `images` of images, at a rate that falls in the last half."""
    phases, rounds = (denoiser.Phase(images, 1, 2), denoiser.Phase(steps, 3, 1)), (denoiser.Round(stretch, lr, 0.5),)
    settings = denoiser.UnetSettings(phases=phases, rounds=rounds, images=2, images_every=3, warm_up=2)
    return denoiser.UnetTask(settings, clips, tokenizer.new_tokenizer())


def test_a_plan_may_be_made_longer_on_the_way(clips, tmp_path):
    torch.set_num_threads(1)
    list(loop.train(planned(clips, 2), tmp_path / "changed"))
    assert [x.index for x in loop.train(planned(clips, 4, stretch=50), tmp_path / "changed")] == [5, 6]
    list(loop.train(planned(clips, 4), tmp_path / "never"))
    changed, never = (load_file(tmp_path / x / "checkpoint.safetensors") for x in ("changed", "never"))
    assert all(torch.equal(changed[name], never[name]) for name in never)


@pytest.mark.parametrize("other", [{"lr": 2e-3}, {"stretch": 6}, {"images": 1}])
def test_a_plan_with_another_past_is_refused(clips, tmp_path, other):
    list(loop.train(planned(clips, 2), tmp_path))
    with pytest.raises(ValueError, match="checkpoint.safetensors is of other settings"):
        next(loop.train(planned(clips, 4, **other), tmp_path))
