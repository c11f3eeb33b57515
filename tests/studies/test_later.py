"""The table behind notebook 14: one thing is changed at a time, and each run is sampled in its own ways."""

import pytest
import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon.tokenizer import new_tokenizer
from t2v_helpers.inside.dit import DiT
from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.model import loading
from t2v_helpers.studies import from_scratch as corner
from t2v_helpers.studies import later as study

FEW = {"CLIPS": 1, "IMAGES": 2, "VIDEOS": 1, "IMAGES_FIRST": 1, "STEPS_A_MINUTE": 1, "MINUTES": (1, 2), "LAST": "2",
       "WINDOW": 1, "ASKED": {"steps": 1, "guidance": 2.0}, "CORNER": corner.CORNER[:5]}  # fmt: skip


@pytest.fixture
def pipe(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


@pytest.fixture
def small(monkeypatch):
    """Rows that take seconds."""
    for name, value in FEW.items():
        monkeypatch.setattr(corner, name, value)
    monkeypatch.setattr(corner, "SHOWN", corner.CORNER[:4])
    monkeypatch.setattr(corner, "SAMPLED", ((corner.FIRST, 2), (corner.SECOND, 2)))
    monkeypatch.setattr(corner, "FILMED", (2,))
    monkeypatch.setattr(study, "TRAININGS", ((study.FLOW, 0), (study.MIDDLE, 1), (study.DIT, 0)))


def row(run, found, seed=0):
    return {"seed": seed, "prompt": run.name, "found": found, "losses": [1.0]}


def test_noise_and_velocity_are_learned_by_the_same_network_from_the_same_weights(pipe):
    nets = [corner.new_net(pipe, 3, run.kind) for run in (study.NOISE, study.FLOW)]
    first, second = (net.state_dict() for net in nets)
    assert first.keys() == second.keys() and all(torch.equal(x, second[name]) for name, x in first.items())
    x, t, words = torch.randn(2, 8, 2, 8, 8), torch.tensor([5, 600]), torch.ones(2, 4).long()
    with torch.no_grad():
        assert torch.equal(nets[1](x, t, words), nets[0].answer(x, t, words))


def test_who_answers_zero_has_the_variance_of_what_is_learned():
    def zero(x_t, t, words):
        return torch.zeros_like(x_t)

    x_0, eps = torch.randn(2, 8, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    u = (torch.arange(8) + 0.5) / 8
    assert study.velocity_error(zero, x_0, eps, u, None).mean().item() == pytest.approx(2, rel=0.1)
    seen = []
    study.MIDDLE.error_of(lambda x_t, t, words: seen.append(t) or x_t, x_0, eps, u, None)
    torch.testing.assert_close(seen[0], 1000 * torch.special.ndtri(u).sigmoid())


def test_the_true_velocity_has_no_error_and_another_has_its_own():
    x_0, eps = torch.randn(2, 3, 4, 2, 5, 5)
    sigma, seen = torch.tensor([0.0, 0.4, 1.0]), {}

    def net(x_t, times, words):
        seen.update(x_t=x_t, times=times)
        return eps - x_0 + torch.tensor([0.0, 1.0, 3.0]).view(3, 1, 1, 1, 1)

    torch.testing.assert_close(study.velocity_error(net, x_0, eps, sigma, None), torch.tensor([0.0, 1.0, 9.0]))
    assert seen["times"].tolist() == [0, 400, 1000]
    for i, expected in ((0, x_0[0]), (1, 0.6 * x_0[1] + 0.4 * eps[1]), (2, eps[2])):
        torch.testing.assert_close(seen["x_t"][i], expected)


def test_times_in_the_middle_are_logit_normal():
    u = (torch.arange(10_000) + 0.5) / 10_000
    logits = study.in_the_middle(u).logit()
    assert logits.mean().abs() < 1e-3 and logits.std() == pytest.approx(1, abs=1e-2)
    share = (study.in_the_middle(u) - 0.5).abs().lt(0.25).float().mean()
    assert share == pytest.approx(0.728, abs=0.001)  # Phi(ln 3) - Phi(-ln 3); of uniform times 0.5


def test_the_dit_costs_about_as_many_flops_as_the_unet():
    clips = corner.Clips(torch.zeros(1, 16, 8, 8, 8), torch.zeros(1, 24).long(), torch.zeros(24).long())
    unet, dit = (study.flops(run.kind(new_tokenizer(), 16), clips) for run in (study.NOISE, study.DIT))
    assert dit == pytest.approx(unet, rel=0.06)


def test_flops_count_images_and_videos_as_they_are_drawn(pipe):
    net, clips = corner.new_net(pipe), corner.Clips(torch.zeros(3, 8, 8, 8, 8), torch.ones(3, 5), torch.ones(5).long())
    image, video = (study._call(net, clips, frames) for frames in (1, corner.FRAMES))
    drawn = [clips.draw(k, torch.Generator())[1].shape[::2] for k in range(107)]
    assert study.flops(net, clips, 107) == sum(b * (image if f == 1 else video) for b, f, _ in drawn)


@pytest.mark.parametrize("k", range(3))
def test_each_training_makes_a_row_and_the_first_has_films(k, small, pipe):
    found = study.line(pipe, k)
    assert found["prompt"] == study.TRAININGS[k][0].name and found["seed"] == k and len(found["losses"]) == 2
    assert set(found["found"]) == {"1", "2", "again", "first order, 2 steps", "second order, 2 steps"}
    assert all(len(digits) == 5 for digits in found["found"].values())
    assert set(found.get("films", ())) == ({"first order, 2 steps"} if k == 0 else set())
    assert study.summary([found]).splitlines()[1].split()[-1].endswith("%")


def test_the_noise_is_what_the_sound_trainings_learn(small, pipe):
    clips = corner.clips(pipe)
    (ours, mine), (theirs, other) = (
        next(study.NOISE.train(pipe, clips, 1)),
        next(corner.train(corner.new_net(pipe), clips, 1)),
    )
    assert ours == theirs and torch.equal(mine.unet.conv_in.weight, other.unet.conv_in.weight)


def test_the_rows_of_the_noise_are_those_of_the_sound_trainings(monkeypatch):
    sound, changed = ({"seed": k, "prompt": corner.RUNS[k]["name"], "found": {}} for k in range(2))
    monkeypatch.setattr(type(study.STUDY), "load", lambda one: [sound, changed] if one is corner.STUDY else [])
    assert study.load() == [sound | {"prompt": study.NOISE.name}]


def test_the_dit_is_one(pipe):
    assert isinstance(corner.new_net(pipe, 0, study.ByDit).unet, DiT)


def test_a_run_that_is_not_trained_yet_has_no_share():
    at = corner.place(corner.FIRST, 4)
    all_right = ["1111"] * len(corner.CORNER)
    assert study.share([], study.FLOW, at) is None
    found = study.share([row(study.FLOW, {at: all_right})], study.FLOW, at)
    assert isinstance(found, Measure) and (found.value, found.n) == (1, 12)


def test_two_runs_are_compared_video_by_video_of_the_seeds_that_both_have():
    at, n = "9", len(corner.CORNER)
    rows = [row(study.NOISE, {at: ["1110"] * n}), row(study.FLOW, {at: ["1111"] * (n // 2) + ["1110"] * (n // 2)}),
            row(study.NOISE, {at: ["1111"] * n}, seed=4)]  # fmt: skip
    found = study.ahead(rows, study.FLOW, study.NOISE, at)
    assert (found.value, found.n) == (0.5, n)
    with pytest.raises(ValueError, match="values are"):
        study.ahead(rows, study.DIT, study.NOISE, at)


def test_the_corner_is_that_of_notebook_08():
    assert len(corner.CORNER) == 16 and all(isinstance(one, cartoon.Labels) for one in corner.CORNER)
    assert all(1000 % steps == 0 for steps in corner.FEW) and set(corner.FILMED) <= set(corner.FEW)
