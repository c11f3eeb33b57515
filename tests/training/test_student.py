"""The student's two trainings, on real classes at toy size: where the teacher's steps lead, the student's leads."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler

from t2v_helpers import cartoon
from t2v_helpers.diffusion.noise import add_noise, x_0_from_eps
from t2v_helpers.training import data, denoiser, loop, student

TOY = student.StudentSettings(steps=4, batch=2, frames=3, warm_up=2, steps_of_teacher=8)
TASKS = [student.HalvingTask, student.ConsistencyTask]


@pytest.fixture
def clips() -> data.Clips:
    latents = torch.randn(4, 8, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    return data.Clips(latents.half(), [cartoon.item(0, i, frames=1).labels for i in range(4)], 1.0)


@pytest.fixture
def teacher(toy_pipe) -> student.Teacher:
    empty = data.tokens(toy_pipe.tokenizer, [""])
    abar = denoiser.new_scheduler().alphas_cumprod
    return student.Teacher(toy_pipe.unet, toy_pipe.text_encoder, empty, abar, guidance=4.0)


def scheduler(**changes) -> DDIMScheduler:
    config = denoiser.SCHEDULE | {"timestep_spacing": "trailing", "set_alpha_to_one": True} | changes
    return DDIMScheduler.from_config(config)


def inputs(task, k=0):
    x_0, eps, i, words = task.batch(k)
    return x_0, eps, i, *task.teacher.embedded(words)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 25, 32])
def test_trailing_times_are_diffusers(steps):
    there = scheduler()
    there.set_timesteps(steps)
    assert student.trailing(steps).tolist() == there.timesteps.tolist()


@pytest.mark.parametrize("steps", [0, 1001])
def test_a_number_of_steps_that_cannot_be_is_refused(steps):
    with pytest.raises(ValueError, match=f"steps={steps} .*1.*1000"):
        student.trailing(steps)


def test_consistency_counts_as_the_lcm_scheduler(teacher, clips, toy_pipe):
    task = student.ConsistencyTask(TOY, teacher, clips, toy_pipe.tokenizer)
    there = LCMScheduler.from_config(denoiser.SCHEDULE, original_inference_steps=8)
    there.set_timesteps(8)
    assert task.times(torch.arange(7, -2, -1)).tolist() == [*there.timesteps.tolist(), -1]


def test_the_students_answer_is_the_lcm_schedulers(teacher, clips, toy_pipe):
    task = student.ConsistencyTask(TOY, teacher, clips, toy_pipe.tokenizer)
    x_0, eps, _, text, _ = inputs(task)
    there = LCMScheduler.from_config(denoiser.SCHEDULE, original_inference_steps=8)
    there.set_timesteps(2)
    t = there.timesteps[1].repeat(2)
    x_t = add_noise(x_0, eps, teacher.alpha_bar(t))
    with torch.no_grad():
        found, noise_pred = task.answer(x_t, t, text), task.modules(x_t, t, text).sample
    torch.testing.assert_close(there.step(noise_pred, t[0], x_t).denoised, found, atol=1e-3, rtol=1e-3)


def test_guidance_is_the_pipelines(teacher, clips, toy_pipe):
    x_0, _, _, text, empty = inputs(student.HalvingTask(TOY, teacher, clips, toy_pipe.tokenizer))
    t = torch.tensor([300, 700])
    with torch.no_grad():
        without, given = (toy_pipe.unet(x_0, t, words).sample for words in (empty, text))
        torch.testing.assert_close(teacher.eps(x_0, t, text, empty), without + 4 * (given - without))
        inside = student.Teacher(teacher.unet, teacher.text_encoder, teacher.empty, teacher.alphas_cumprod)
        torch.testing.assert_close(inside.eps(x_0, t, text, empty), given)


def test_a_move_is_a_step_of_ddim(teacher):
    there, (x, eps) = scheduler(), torch.randn(2, 1, 8, 3, 8, 8)
    there.set_timesteps(4)
    for t, s in ((749, 499), (249, -1)):
        times = (torch.tensor([time]) for time in (t, s))
        torch.testing.assert_close(
            teacher.move(x, eps, *times), there.step(eps, t, x).prev_sample, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("i", range(4))
def test_one_step_to_the_target_goes_as_far_as_two_of_the_teachers(teacher, clips, toy_pipe, i):
    task = student.HalvingTask(TOY, teacher, clips, toy_pipe.tokenizer)
    x_t, _, _, text, empty = inputs(task)
    t, middle, end = (task.times(torch.full((2,), 2 * i + j)) for j in range(3))
    x = teacher.move(x_t, teacher.eps(x_t, t, text, empty), t, middle)
    x = teacher.move(x, teacher.eps(x, middle, text, empty), middle, end)
    wanted, abar = task.target(x_t, (t, middle, end), text, empty), teacher.alpha_bar(t)[0]
    eps = (x_t - abar.sqrt() * wanted) / (1 - abar).sqrt()
    torch.testing.assert_close(teacher.move(x_t, eps, t, end), x, atol=1e-3, rtol=1e-3)


def test_the_last_step_of_consistency_is_the_teachers_own(teacher, clips, toy_pipe):
    task = student.ConsistencyTask(TOY, teacher, clips, toy_pipe.tokenizer)
    x_0, eps, _, words = task.batch(0)
    plain = student.Teacher(teacher.unet, teacher.text_encoder, teacher.empty, teacher.alphas_cumprod)
    for used, least in ((teacher, 1e-3), (plain, 0.0)):  # the student begins as the teacher without guidance
        task.teacher = used
        loss = task.loss((x_0, eps, torch.tensor([0, 0]), words))[0].item()
        assert loss > least if least else loss == pytest.approx(0, abs=1e-5)


def unseen(task) -> float:
    """The loss on batches that the training does not come to: how much it is depends on their times."""
    with torch.no_grad():
        return np.mean([task.loss(task.batch(100 + k))[0].item() for k in range(6)])


@pytest.mark.parametrize("kind", TASKS)
def test_the_student_learns_and_the_teacher_stays(kind, teacher, clips, toy_pipe, tmp_path):
    before = {name: x.clone() for name, x in toy_pipe.unet.state_dict().items()}
    settings = student.StudentSettings(steps=20, batch=4, frames=2, warm_up=2, lr=3e-3, steps_of_teacher=4)
    task = kind(settings, teacher, clips, toy_pipe.tokenizer)
    at_first = unseen(task)
    list(loop.train(task, tmp_path))
    assert unseen(task) < 0.97 * at_first
    assert all(torch.equal(before[name], x) for name, x in toy_pipe.unet.state_dict().items())


def test_between_its_own_steps_a_student_keeps_the_teachers_answer(teacher, clips, toy_pipe):
    task = student.HalvingTask(TOY, teacher, clips, toy_pipe.tokenizer)
    x_t, _, _, text, empty = inputs(task)
    t, end = task.times(torch.tensor([3, 3])), task.times(torch.tensor([4, 4]))
    with torch.no_grad():
        eps = teacher.eps(x_t, t, text, empty)
    own = x_0_from_eps(x_t, eps, teacher.alpha_bar(t))
    torch.testing.assert_close(task.target(x_t, (t, end, end), text, empty), own, atol=1e-3, rtol=1e-3)


def test_a_batch_has_steps_from_all_of_the_choices(teacher, clips, toy_pipe):
    halving, consistency = (kind(TOY, teacher, clips, toy_pipe.tokenizer) for kind in TASKS)
    rng = np.random.default_rng(0)
    drawn = np.stack([halving.draw(4, rng) for _ in range(400)])
    assert (drawn // 2 == np.arange(4)).all() and (drawn % 2).mean() == pytest.approx(student.KEPT, abs=0.05)
    assert (consistency.draw(8, rng) == np.arange(8)).all()


def test_each_halving_has_clips_and_noise_of_its_own(teacher, clips, toy_pipe):
    first, second = (replace(TOY, steps_of_teacher=steps) for steps in (8, 4))
    (_, one, *_), (_, other, *_) = (
        student.HalvingTask(settings, teacher, clips, toy_pipe.tokenizer).batch(0) for settings in (first, second)
    )
    assert not torch.equal(one, other)


def test_at_the_last_time_there_is_noise_alone_as_where_a_video_begins(teacher):
    x_0, eps = torch.randn(2, 2, 8, 3, 4, 4)
    x_t = teacher.noised(x_0, eps, torch.tensor([999, 499]))
    assert torch.equal(x_t[0], eps[0])
    torch.testing.assert_close(x_t[1:], add_noise(x_0[1:], eps[1:], teacher.alphas_cumprod[499]))


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
@pytest.mark.parametrize("kind", TASKS)
def test_the_checkpoint_of_another_teachers_student_is_refused(kind, part, teacher, clips, toy_pipe, tmp_path):
    task = kind(TOY, teacher, clips, toy_pipe.tokenizer)
    loop.save(task, loop.start(task), tmp_path)
    changed = deepcopy(getattr(teacher, part))
    with torch.no_grad():
        next(changed.parameters()).flatten()[0] += 1
    other = kind(TOY, replace(teacher, **{part: changed}), clips, toy_pipe.tokenizer)
    with pytest.raises(ValueError, match='other settings: teacher is "[0-9a-f]{16}", not "[0-9a-f]{16}"; use'):
        loop.restore(other, tmp_path)


def test_the_teachers_steps_of_consistency_must_reach_the_last_time(teacher, clips, toy_pipe):
    with pytest.raises(ValueError, match="steps_of_teacher=16 does not divide 1000.*use 20"):
        student.ConsistencyTask(replace(TOY, steps_of_teacher=16), teacher, clips, toy_pipe.tokenizer)


@pytest.mark.parametrize("kind", TASKS)
def test_a_killed_training_ends_with_the_same_weights(kind, teacher, clips, toy_pipe, tmp_path):
    torch.set_num_threads(1)
    make = lambda: kind(TOY, teacher, clips, toy_pipe.tokenizer)  # noqa: E731
    list(loop.train(make(), tmp_path / "whole", save_every=1))
    for step in loop.train(make(), tmp_path / "killed", save_every=1):
        if step.index == 2:
            break
    list(loop.train(make(), tmp_path / "killed", save_every=1))
    a, b = (loop.averaged(make(), tmp_path / x).state_dict() for x in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "wrong, why",
    [
        ({"steps": 0}, "steps=0 .*1"),
        ({"frames": 0}, "frames=0 .*1"),
        ({"guidance": 0.5}, "guidance=0.5 .*1"),
        ({"steps_of_teacher": 5}, "steps_of_teacher=5 .*even"),
        ({"steps_of_teacher": 0}, "steps_of_teacher=0 .*even"),
    ],
)
def test_settings_out_of_range_are_named(wrong, why):
    with pytest.raises(ValueError, match=why):
        student.StudentSettings(**wrong)
