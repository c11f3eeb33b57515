"""The table behind notebook 08: its corner, its loop, its rows, and the band of its curves."""

import numpy as np
import pytest
import torch
from torch import nn

from t2v_helpers import cartoon
from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.model import loading
from t2v_helpers.studies import from_scratch as study

FEW = {"CLIPS": 1, "IMAGES": 2, "VIDEOS": 1, "IMAGES_FIRST": 2, "STEPS_A_MINUTE": 2, "MINUTES": (1, 2), "LAST": "4",
       "BOTH": ("4", "again"), "WINDOW": 2, "ASKED": {"steps": 1, "guidance": 2.0}}  # fmt: skip


@pytest.fixture
def pipe(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


@pytest.fixture
def small(monkeypatch):
    """Rows that take seconds."""
    for name, value in FEW.items():
        monkeypatch.setattr(study, name, value)
    monkeypatch.setattr(study, "TRAININGS", ((study.RUNS[0], 0), (study.RUNS[4] | {"clips": 1}, 0), (study.RUNS[0], 1)))
    monkeypatch.setattr(study, "SAMPLED", ((study.FIRST, 2), (study.SECOND, 1)))
    monkeypatch.setattr(study, "FILMED", (2,))


def row(losses, found=None, name=study.RUNS[0]["name"]):
    return {"seed": 0, "prompt": name, "losses": losses, "found": found or {}, "cpu_seconds": 1}


def test_the_sound_training_has_several_seeds_and_each_other_run_one():
    names = [run["name"] for run, _ in study.TRAININGS]
    assert names[: study.SEEDS] == [study.RUNS[0]["name"]] * study.SEEDS
    assert [seed for _, seed in study.TRAININGS] == [*range(study.SEEDS), *[0] * (len(study.RUNS) - 1)]
    assert names[study.SEEDS :] == [run["name"] for run in study.RUNS[1:]]


def test_each_subject_and_each_action_is_held_out_once():
    assert len(study.CORNER) == 16 and len(study.TRAINED) == 12
    assert {one.subject for one in study.HELD_OUT} == set(study.SUBJECTS)
    assert {one.action for one in study.HELD_OUT} == set(study.ACTIONS)
    assert {one.subject for one in study.SHOWN} == set(study.SUBJECTS) and set(study.SHOWN) <= set(study.TRAINED)


def test_clips_are_latents_as_the_vae_gives_them_with_their_own_captions(small, pipe):
    clips = study.clips(pipe)
    assert clips.latents.shape[:3] == (12, pipe.vae.config.latent_channels, study.FRAMES)
    told = pipe.tokenizer.batch_decode(clips.words, skip_special_tokens=True)
    assert [cartoon.parse(one) for one in told] == list(study.TRAINED)
    assert pipe.tokenizer.decode(clips.no_words, skip_special_tokens=True) == ""


@pytest.mark.parametrize(("options", "count"), [({"each": 1}, 12), ({"combinations": 8}, 8), ({"wrong": 1.0}, 12)])
def test_less_data_is_less_and_wrong_words_are_wrong(options, count, small, pipe):
    clips = study.clips(pipe, **options)
    assert len(clips.latents) == len(clips.words) == count
    told = [cartoon.parse(one) for one in pipe.tokenizer.batch_decode(clips.words, skip_special_tokens=True)]
    if "wrong" in options:
        pairs = zip(told, study.TRAINED, strict=True)
        assert all(a.subject != b.subject and a.action != b.action for a, b in pairs)
    else:
        assert set(told) <= set(study.TRAINED)


def test_half_the_combinations_have_every_word_as_often(small, pipe):
    told = pipe.tokenizer.batch_decode(study.clips(pipe, combinations=8).words, skip_special_tokens=True)
    labels = [cartoon.parse(one) for one in told]
    assert [sum(one.subject == word for one in labels) for word in study.SUBJECTS] == [2] * 4
    assert [sum(one.action == word for one in labels) for word in study.ACTIONS] == [2] * 4


def test_images_come_first_and_then_videos_with_images_in_between():
    clips = study.Clips(torch.zeros(3, 2, 8, 4, 4), torch.zeros(3, 5), torch.zeros(5))
    lengths = {k: clips.draw(k, torch.Generator())[1].shape[::2] for k in (0, 99, 100, 101, 102)}
    assert lengths == {0: (16, 1, 4), 99: (16, 1, 4), 100: (16, 1, 4), 101: (4, 8, 4), 102: (4, 8, 4)}
    assert clips.draw(0, torch.Generator(), images=False)[1].shape == (4, 2, 8, 4, 4)


def test_an_image_passes_the_layers_along_time_unchanged(pipe):
    net = study.new_net(pipe)
    x, t, words = torch.randn(1, pipe.vae.config.latent_channels, 1, 8, 8), torch.tensor([5]), torch.ones(1, 4).long()
    nn.init.normal_(net.unet.transformer_in.proj_out.weight)
    with torch.no_grad():
        alone = net(x, t, words)
        nn.init.normal_(net.unet.transformer_in.proj_out.weight)
        assert torch.equal(net(x, t, words), alone)


def test_a_network_is_its_seeds(pipe):
    first, same, other = (study.new_net(pipe, seed).unet.conv_in.weight for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_the_loop_learns_and_its_average_follows(small, pipe):
    clips = study.clips(pipe)
    net = study.new_net(pipe)
    seen = [(loss, average.unet.conv_in.weight.clone()) for loss, average in study.train(net, clips, 3)]
    (first, before), *_, (_, average) = seen
    assert 0.3 < first < 2 and not torch.equal(before, average)
    assert not torch.equal(average, net.unet.conv_in.weight)


def test_a_row_has_what_the_notebook_reads(small, pipe):
    one, other, again = (study.line(pipe, k) for k in range(3))
    sampled = {"first order, 2 steps", "second order, 1 steps"}
    assert set(one["found"]) == {"2", "4", "again", "not averaged", "guidance 1"} | sampled == set(again["found"])
    assert set(other["found"]) == {"2", "4", "again"} and other["prompt"] == "50 % of the words wrong"
    assert all(len(found) == 16 for found in one["found"].values())
    assert len(one["losses"]) == 2 and set(one["films"]) == {"2", "4", "first order, 2 steps"}
    assert "films" not in other and "films" not in again and again["losses"] != one["losses"]
    assert study.from_film(one["films"]["2"]).shape == (study.FRAMES, 64, 4 * 64, 3)
    assert len(study.summary([one, other, again]).splitlines()) == 3


def test_an_ffmpeg_that_is_not_there_is_told_before_a_training(monkeypatch):
    def missing():
        raise OSError("ffmpeg cannot be started")

    monkeypatch.setattr(study.video, "check_encoder", missing)
    with pytest.raises(OSError, match="ffmpeg"):
        study.line(None, 0)


def test_shares_are_of_the_combinations_that_are_asked_for():
    found = ["1111" if labels in study.HELD_OUT else "1110" for labels in study.CORNER]
    rows = [row([], {"9": found})] * 2
    trained, held_out = study.pooled(rows, "9"), study.pooled(rows[:1], "9", study.HELD_OUT)
    assert (trained.value, trained.n) == (0, 24)
    assert isinstance(held_out, Measure) and (held_out.value, held_out.n) == (1, 4)


# --- the band


def test_the_band_holds_every_seed_and_other_runs_do_not_count():
    low, high = study.band([row([1.0, 0.5]), row([0.8, 0.6]), row([9.0, 9.0], name="another")], wider=0.1)
    np.testing.assert_allclose(low, [0.72, 0.45])
    np.testing.assert_allclose(high, [1.1, 0.66])


@pytest.mark.parametrize(
    ("curve", "windows"),
    [([1, 1, 1, 1], 4), ([1, 9, 1, 9], 4), ([1, 9, 9, 1], 1), ([1, 0, 9, 1], 1), ([0, 0], 0), ([], 0)],
)
def test_a_run_leaves_the_band_when_two_windows_in_a_row_are_outside(curve, windows):
    assert study.leaves(curve, [0.5] * 4, [2] * 4) == windows


@pytest.mark.parametrize(("curve", "word"), [([1, np.nan], "not finite in window 1"), ([1] * 5, "curve has 5 windows")])
def test_a_curve_that_is_not_finite_or_too_long_is_refused(curve, word):
    with pytest.raises(ValueError, match=word):
        study.leaves(curve, [0.5] * 4, [2] * 4)


@pytest.mark.parametrize(("loss", "word"), [(1.0, "normal: all 2"), (3.0, "step 0, above"), (0.1, "step 0, below")])
def test_a_verdict_says_where_and_on_which_side(loss, word):
    assert word in study.verdict([loss] * 2 * study.WINDOW, [row([1.0, 1.0, 1.0])])


def test_the_committed_table_is_what_the_study_asks():
    rows = study.STUDY.load()
    assert rows[0]["seed"] == 0 and len(rows[0]["films"]) == len(study.MINUTES) + len(study.FILMED)  # they are shown
    for one in rows:
        assert one["prompt"] == study.TRAININGS[one["seed"]][0]["name"]
        assert len(one["losses"]) == int(study.LAST) // study.WINDOW
        assert {str(m * study.STEPS_A_MINUTE) for m in study.MINUTES} <= set(one["found"])
