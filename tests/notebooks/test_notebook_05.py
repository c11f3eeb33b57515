"""Notebook 05 computes what the package computes: its functions are taken out and run; its numbers hold together."""

from functools import cache
from pathlib import Path

import notebook_functions
import numpy as np
import pytest
import torch

from t2v_helpers import cartoon, metrics
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import tracing
from t2v_helpers.metrics import estimates, power
from t2v_helpers.model import denoising, generate, loading
from t2v_helpers.studies import knobs

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "05_steps_frames_guidance.ipynb"


def namespace(**names) -> dict:
    """The notebook's functions, and the names that they look up."""
    modules = {"np": np, "generate": generate, "knobs": knobs, "estimates": estimates, "loading": loading}
    here = modules | {"BASE": knobs.BASE, "MODEL": "cartoon", "PROMPT": "a dog", "GenerationSpec": GenerationSpec}
    here |= {"tracing": tracing, "cache": cache, "denoising": denoising} | names
    exec(notebook_functions.source(notebook_functions.functions(NOTEBOOK)), here)  # the repository's own notebook
    return here


HERE = namespace()


@pytest.mark.parametrize(("knob", "value"), [("steps", 4), ("guidance", 9.0), ("frames", 2), ("size", 32)])
def test_it_asks_for_what_the_table_was_asked_for(knob, value):
    assert HERE["asked"]("a dog", 3, **{knob: value}) == knobs.spec_of("a dog", 3, knob, value)
    assert HERE["asked"]("a dog") == knobs.spec_of("a dog", 0)


@pytest.mark.parametrize("scale", [1.0, 4.0, 15.0])
def test_its_guidance_is_that_of_the_loop(toy_pipe, scale):
    spec = GenerationSpec("a dog", guidance=scale, frames=2, height=32, width=32)
    x, text = denoising.initial_latents(toy_pipe, [spec]), denoising.encode_prompt(toy_pipe, spec)
    with torch.no_grad():
        without, with_prompt = (toy_pipe.unet(x, 500, t[None]).sample for t in text)
    torch.testing.assert_close(
        HERE["guided"](without, with_prompt, scale), denoising.guided(toy_pipe, spec)(x, 500), atol=1e-4, rtol=1e-4
    )


def test_its_middle_frame_is_that_of_the_video(toy_pipe):
    middle = namespace(pipe=toy_pipe)["middle"](steps=1, frames=3, size=32)
    video = generate.generate(toy_pipe, GenerationSpec("a dog", steps=1, guidance=4.0, frames=3, height=32, width=32))
    assert np.array_equal(middle, video.frames[1])


def test_its_change_counts_grey_levels_from_the_first_frame():
    frames = np.zeros((3, 2, 2, 3), np.uint8)
    frames[2] = 200
    assert HERE["change"](frames).tolist() == [0, 0, 200]


def test_it_decodes_what_its_guided_latents_are(toy_pipe):
    here = namespace(pipe=toy_pipe, BASE=knobs.BASE | {"steps": 1, "frames": 2, "size": 32})
    spec = GenerationSpec("a dog", seed=3, steps=1, guidance=9.0, frames=2, height=32, width=32)
    found = here["decoded"](here["guided_latents"](9.0, seed=3))
    assert np.array_equal(found, generate.generate(toy_pipe, spec).frames)


def test_all_four_is_what_the_table_holds_of_a_seed(toy_pipe, monkeypatch):
    here = namespace(pipe=toy_pipe, metrics=metrics)
    monkeypatch.setattr(generate, "generate", lambda pipe, spec: knobs.item_of(spec.seed))
    assert here["all_four"](40)
    monkeypatch.setattr(generate, "generate", lambda pipe, spec: knobs.item_of(spec.seed + 1))
    assert not here["all_four"](40)


def test_its_price_of_the_base_is_1_and_follows_the_steps():
    assert HERE["price"]("frames", knobs.BASE["frames"]) == 1
    traces = tracing.trace_parts(loading.skeleton("cartoon"), 8, 64, 64)
    wanted = knobs.video_flops(traces, 50, 8, 4) / knobs.video_flops(traces, 12, 8, 4)
    assert HERE["price"]("steps", 50) == pytest.approx(wanted)
    assert HERE["price"]("guidance", 15) == 1 > HERE["price"]("guidance", 1)


def test_its_shares_of_kinds_add_up():
    unet = HERE["traced"](2, 32)["unet"]
    assert HERE["share_of"](unet, *unet.by_kind()) == pytest.approx(1)


# --- the exercises


def test_the_price_of_exercise_1_is_the_packages_without_the_text(solution):
    traces = HERE["traced"](4, 32)
    unet, vae, text = (traces[part].total.flops for part in ("unet", "vae", "text_encoder"))
    for guidance in (1, 4):
        written = solution("05_1", "video_flops")(7, guidance, 4, unet, vae)
        assert written == pytest.approx(knobs.video_flops(traces, 7, 4, guidance) - 2 * text)


def test_the_attention_of_exercise_2_is_what_the_trace_counts(solution):
    class Attend(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    frames, pixels, channels = 5, 9, 8
    shapes = (pixels, 1, frames, channels), (frames, 1, pixels, channels)  # [sequences heads n c]
    counted = [tracing.trace(Attend(), torch.zeros(shape)).total.flops for shape in shapes]
    assert list(solution("05_2", "attention_flops")(frames, pixels, channels)) == counted


def test_the_test_of_exercise_3_is_the_packages(solution):
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = (rng.random((2, 32)) < rng.random((2, 1))).tolist()
        assert solution("05_3", "mcnemar")(a, b) == pytest.approx(power.Pairs.of(a, b).p)


def test_the_prompt_is_one_that_the_judge_can_read():
    assert cartoon.parse("a robot is dancing on the moon").subject == "robot"
