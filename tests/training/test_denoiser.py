"""The denoiser: the published noise schedule, and the learning rate of its rounds."""

import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon.tokenizer import new_tokenizer
from t2v_helpers.core.seeding import seeded
from t2v_helpers.inside.temporal import temporal_layers_off
from t2v_helpers.training import denoiser


def test_the_schedule_is_the_published_one():
    config = denoiser.new_scheduler().config
    assert (config.beta_start, config.beta_end, config.beta_schedule) == (0.00085, 0.012, "scaled_linear")
    assert config.prediction_type == "epsilon" and not config.clip_sample


def test_each_round_warms_up_and_cools_down():
    task = denoiser.UnetTask(denoiser.UnetSettings(), None, new_tokenizer())
    assert task.steps == sum(stretch.steps for stretch in task.settings.rounds)
    start = 0
    for stretch in task.settings.rounds:
        assert task.lr(start) < stretch.lr / 10 and task.lr(start + 100) == stretch.lr
        start += stretch.steps
        assert task.lr(start - 1) < stretch.lr / 100


def test_what_lies_ahead_is_cut_off_from_a_plan():
    stretches = [{"steps": 2, "lr": 1.0, "cool_down": 0.5}, {"steps": 4, "lr": 2.0, "cool_down": 0.5}]
    plan = {"seed": 1, "phases": [{"steps": 4, "frames": 1}, {"steps": 9, "frames": 8}], "rounds": stretches}
    assert denoiser.until(plan, 0) == {"seed": 1, "phases": [], "rounds": []}
    assert denoiser.until(plan, 4)["phases"] == [{"steps": 4, "frames": 1}]
    assert denoiser.until(plan, 5)["phases"] == [{"steps": 4, "frames": 1}, {"steps": 1, "frames": 8}]
    assert denoiser.until(plan, 4)["rounds"] == [stretches[0] | {"done": 2}, {"lr": 2.0, "done": 2}]
    assert denoiser.until(plan, 5)["rounds"][1] == stretches[1] | {"done": 3}


def test_a_spinning_clip_counts_as_often_as_its_phase_says():
    labels = [cartoon.Labels("dog", action) for action in ("dancing", "spinning", "jumping")]
    assert denoiser.spinning_often(labels, 1).tolist() == [0, 1, 2]
    assert denoiser.spinning_often(labels, 3).tolist() == [0, 1, 1, 1, 2]


def test_the_courses_unet_trains_in_place_of_diffusers():
    ours, x = seeded(3, denoiser.new_course_unet).eval(), torch.randn(2, 16, 3, 8, 8)
    for p in ours.parameters():
        torch.nn.init.normal_(p, std=0.05)  # the temporal layers start silent
    there, words, t = denoiser.for_diffusers(ours), torch.randn(2, 24, 128), torch.tensor([10, 900])
    with torch.no_grad():
        torch.testing.assert_close(ours(x, t, words).sample, there(x, t, words).sample, atol=1e-4, rtol=1e-4)
        with denoiser.frames_alone(ours), temporal_layers_off(there):
            alone = ours(x, t, words).sample
            torch.testing.assert_close(alone, there(x, t, words).sample, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(alone, ours(x, t, words).sample, atol=1e-2)
    assert {part.p for part in ours.modules() if isinstance(part, torch.nn.Dropout)} == {0.0}
