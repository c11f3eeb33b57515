"""The denoiser: the published noise schedule, and the learning rate of its rounds."""

from t2v_helpers.cartoon.tokenizer import new_tokenizer
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
