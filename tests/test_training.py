"""Training: killed at any moment, it ends with the same weights as never killed."""

import math
from itertools import islice

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from t2v_helpers import dataset, recipe, training, words


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three clips, encoded by an untrained autoencoder."""
    path = tmp_path_factory.mktemp("clips") / "latents.safetensors"
    assert list(dataset.encode(recipe.seeded(0, recipe.new_vae).eval(), 0, 3, path)) == [1, 2, 3]
    return dataset.Clips.load(path)


def vae_task(clips, steps=4, seed=0):
    return recipe.VaeTask(recipe.VaeSettings(steps=steps, batch=2, seed=seed))


def decoder_task(clips, steps=4):
    trained = recipe.VaeSettings(steps=4, batch=2)
    vae = recipe.seeded(0, recipe.new_vae).eval()
    return recipe.DecoderTask(recipe.DecoderSettings(steps=steps, batch=2), trained, vae)


def unet_task(clips, seed=0):
    phases = (recipe.Phase(2, 1, 2), recipe.Phase(2, 3, 1))
    settings = recipe.UnetSettings(seed=seed, phases=phases, images=2, images_every=3, warm_up=2)
    return recipe.UnetTask(settings, clips, words.new_tokenizer())


def final_weights(task, folder, stops=()):
    """Train to the end, killed (the generator dropped) after each count of steps in `stops`."""
    for stop in stops:
        for _ in islice(training.train(task(), folder, save_every=1), stop):
            pass
    done = list(training.train(task(), folder, save_every=1))
    with safe_open(str(folder / "checkpoint.safetensors"), "pt") as file:
        return len(done), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("make", [vae_task, decoder_task, unet_task])
def test_a_killed_training_ends_with_the_same_weights(make, clips, tmp_path):
    torch.set_num_threads(1)
    whole, expected = final_weights(lambda: make(clips), tmp_path / "whole")
    rest, found = final_weights(lambda: make(clips), tmp_path / "killed", stops=(1, 2))
    assert (whole, rest) == (4, 1)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_steps_are_counted_and_losses_finite(clips, tmp_path):
    steps = list(training.train(unet_task(clips), tmp_path))
    assert [step.index for step in steps] == [1, 2, 3, 4] and {step.total for step in steps} == {4}
    assert all(math.isfinite(step.loss) for step in steps)
    assert [step.shown["frames"] for step in steps] == [1, 1, 3, 1]  # every third step of the videos is images


def test_the_average_follows_the_weights(clips, tmp_path):
    task = vae_task(clips, steps=2)
    list(training.train(task, tmp_path))
    weights = {name: x.clone() for name, x in task.modules.state_dict().items()}
    average = training.averaged(vae_task(clips, steps=2), tmp_path).state_dict()
    moved = [name for name in weights if not torch.equal(weights[name], average[name])]
    assert len(moved) > len(weights) / 2


def test_the_decoder_learns_and_the_encoder_stays(clips, tmp_path):
    task = decoder_task(clips, steps=2)
    before = {name: x.clone() for name, x in task.vae.state_dict().items()}
    list(training.train(task, tmp_path))
    moved = {name for name, x in task.vae.state_dict().items() if not torch.equal(x, before[name])}
    assert moved and all(name.startswith(("decoder.", "post_quant_conv.")) for name in moved)


def test_a_checkpoint_of_other_settings_is_refused(clips, tmp_path):
    list(training.train(vae_task(clips, steps=1), tmp_path))
    with pytest.raises(ValueError, match="is of other settings.*use these, or another folder"):
        next(training.train(vae_task(clips, steps=1, seed=1), tmp_path))


def test_a_checkpoint_cut_short_is_refused(clips, tmp_path):
    list(training.train(vae_task(clips, steps=1), tmp_path))
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is no whole checkpoint.*delete it and train vae again"):
        next(training.train(vae_task(clips, steps=1), tmp_path))


def header(**changed):
    return lambda tensors, about: about.update(changed)


def misshapen(tensors, about):
    tensors["average/decoder.conv_in.bias"] = torch.zeros(3)


@pytest.mark.parametrize(
    "damage, why",
    [
        (lambda tensors, about: about.clear(), "its header does not say settings, done and tensors"),
        (header(settings="{"), "Expecting property name"),
        (header(done="x"), "done is 'x', but must be from 0 to 1"),
        (header(done="-3"), "done is '-3', but must be from 0 to 1"),
        (header(done="2"), "done is '2', but must be from 0 to 1"),
        (lambda tensors, about: tensors.popitem(), "it has .* tensors, but its header says"),
        (misshapen, r"decoder.conv_in.bias has shape \[3\] in the weights, but the configuration needs shape \[96\]"),
    ],
)
def test_a_damaged_checkpoint_is_named(clips, tmp_path, damage, why):
    list(training.train(vae_task(clips, steps=1), tmp_path))
    path = tmp_path / "checkpoint.safetensors"
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        about = file.metadata()
    damage(tensors, about)
    save_file(tensors, path, metadata=about or None)
    with pytest.raises(ValueError, match=rf"checkpoint.safetensors is no whole checkpoint \({why}.*\): delete it and"):
        training.averaged(vae_task(clips, steps=1), tmp_path)


def test_an_unfinished_training_is_averaged_only_where_asked(clips, tmp_path):
    next(training.train(vae_task(clips), tmp_path, save_every=1))
    with pytest.raises(
        ValueError, match=r"stage vae is not finished \(1 of 4 steps in .*\): run `t2v train vae` first"
    ):
        training.averaged(vae_task(clips), tmp_path)
    assert not training.averaged(vae_task(clips), tmp_path, finished=False).training


def test_a_loss_that_is_not_finite_stops_the_training(clips, tmp_path):
    task = vae_task(clips)
    torch.nn.init.constant_(next(task.modules.parameters()), float("nan"))
    with pytest.raises(FloatingPointError, match="the loss of vae is nan at step 0"):
        next(training.train(task, tmp_path))
    assert not (tmp_path / "checkpoint.safetensors").exists()


def planned(clips, steps, lr=1e-3, stretch=100, images=2):
    """A UNet's task of `steps` steps of video after `images` of pictures, at a rate that falls in the last half."""
    phases, rounds = (recipe.Phase(images, 1, 2), recipe.Phase(steps, 3, 1)), (recipe.Round(stretch, lr, 0.5),)
    settings = recipe.UnetSettings(phases=phases, rounds=rounds, images=2, images_every=3, warm_up=2)
    return recipe.UnetTask(settings, clips, words.new_tokenizer())


def test_a_plan_may_be_made_longer_on_the_way(clips, tmp_path):
    torch.set_num_threads(1)
    list(training.train(planned(clips, 2), tmp_path / "changed"))
    assert [x.index for x in training.train(planned(clips, 4, stretch=50), tmp_path / "changed")] == [5, 6]
    list(training.train(planned(clips, 4), tmp_path / "never"))
    changed, never = (load_file(tmp_path / x / "checkpoint.safetensors") for x in ("changed", "never"))
    assert all(torch.equal(changed[name], never[name]) for name in never)


@pytest.mark.parametrize("other", [{"lr": 2e-3}, {"stretch": 6}, {"images": 1}])
def test_a_plan_with_another_past_is_refused(clips, tmp_path, other):
    list(training.train(planned(clips, 2), tmp_path))
    with pytest.raises(ValueError, match="checkpoint.safetensors is of other settings"):
        next(training.train(planned(clips, 4, **other), tmp_path))


def test_what_lies_ahead_is_cut_off_from_a_plan():
    stretches = [{"steps": 2, "lr": 1.0, "cool_down": 0.5}, {"steps": 4, "lr": 2.0, "cool_down": 0.5}]
    plan = {"seed": 1, "phases": [{"steps": 4, "frames": 1}, {"steps": 9, "frames": 8}], "rounds": stretches}
    assert recipe.until(plan, 0) == {"seed": 1, "phases": [], "rounds": []}
    assert recipe.until(plan, 4)["phases"] == [{"steps": 4, "frames": 1}]
    assert recipe.until(plan, 5)["phases"] == [{"steps": 4, "frames": 1}, {"steps": 1, "frames": 8}]
    assert recipe.until(plan, 4)["rounds"] == [stretches[0] | {"done": 2}, {"lr": 2.0, "done": 2}]
    assert recipe.until(plan, 5)["rounds"][1] == stretches[1] | {"done": 3}
