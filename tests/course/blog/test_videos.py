"""The blog's calls on a toy pipeline, and its draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from blog_clips import SHORT
from diffusers import DPMSolverMultistepScheduler, LMSDiscreteScheduler, PNDMScheduler

from t2v_helpers import cartoon
from t2v_helpers.course.blog import published, verdicts, videos
from t2v_helpers.model import swapping


@pytest.fixture(scope="module")
def controlled(toy_pipe):
    return list(videos.controlled(toy_pipe, SHORT))


def test_the_cartoon_world_knows_every_word_of_the_blogs_prompts():
    for run in published.RUNS:
        assert cartoon.unknown_words(run.prompt) == [] and cartoon.parse(run.prompt)


def test_as_published_is_what_the_blogs_own_lines_give(hub_pipe):
    """The blog's lines, on a toy with the published configs: one generator, four schedulers by from_config."""
    runs = [replace(run, steps=3, frames=1) for run in published.RUNS[:4]]  # each scheduler once
    generator, own = torch.Generator(device=hub_pipe.device).manual_seed(1234), hub_pipe.scheduler
    others = {"ddim": None, "dpm++": DPMSolverMultistepScheduler, "lms": LMSDiscreteScheduler, "pndm": PNDMScheduler}
    for made, run in zip(videos.as_published(hub_pipe, runs), runs, strict=True):
        try:
            cls = others[run.scheduler]
            hub_pipe.scheduler = cls.from_config(own.config) if cls else own
            frames = hub_pipe(run.prompt, generator=generator, num_inference_steps=3, num_frames=1).frames
        finally:
            hub_pipe.scheduler = own
        np.testing.assert_array_equal(made.frames, (frames[0] * 255).round().astype(np.uint8))


def test_published_videos_start_from_draws_1_to_6_and_controlled_ones_from_draw_1(six, controlled):
    assert [made.draw for made in six] == [1, 2, 3, 4, 5, 6] and {made.draw for made in controlled} == {1}


def test_the_second_draw_is_the_second_part_of_the_stream(toy_pipe, six):
    shape = (1, toy_pipe.unet.config.in_channels, 3, 8, 8)  # [b c f h w]
    generator = torch.Generator().manual_seed(videos.SEED)
    draws = [torch.randn(shape, generator=generator) for _ in range(2)]
    with swapping.swapped_scheduler(toy_pipe, "dpm++"):
        frames = toy_pipe(published.MONKEY, latents=draws[1], num_inference_steps=4, num_frames=3,
                          guidance_scale=six[1].record.spec.guidance).frames[0]  # fmt: skip
    np.testing.assert_array_equal(six[1].frames, (frames * 255).round().astype(np.uint8))


def test_only_the_first_video_is_the_same_both_ways(six, controlled):
    found = [verdicts.compare(p.frames, c.frames)[0] for p, c in zip(six, controlled, strict=True)]
    assert found[0] == verdicts.SAME_BITS and verdicts.SAME_BITS not in found[1:]


def test_a_run_that_the_model_cannot_take_is_refused_before_computing(toy_pipe):
    with pytest.raises(ValueError, match="frames=0 is not allowed"):
        list(videos.controlled(toy_pipe, [replace(SHORT[0], frames=0)]))


def test_calls_a_second_count_the_unets_calls(six):
    pndm = six[3]
    assert pndm.calls_per_second * pndm.record.seconds == pytest.approx(5)  # 4 steps, and one more
