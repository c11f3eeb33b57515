"""generate: equal to the pipeline of diffusers, the same again from the same seed, whatever the batch."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from t2v_helpers.core import files, seeding
from t2v_helpers.core.records import GenerationRecord, GenerationSpec, frames_hash
from t2v_helpers.diffusion import noise, schedulers
from t2v_helpers.model import loading, swapping
from t2v_helpers.model.denoising import decode_latents, denoise, encode_prompt, initial_latents, latent_shape
from t2v_helpers.model.generate import Generation, generate, generate_batch, save
from t2v_helpers.model.validation import check, memory_needed, resolve

SPEC = GenerationSpec("a robot is dancing on the moon", seed=7, steps=4, frames=3, guidance=4.0)
HUB_SPEC = replace(SPEC, height=64, width=128, frames=2)


def plain(pipe, spec, **start):
    """What anybody's script does: swap the scheduler and call the pipeline. uint8 [f h w c]"""
    with swapping.swapped_scheduler(pipe, spec.scheduler):
        frames = pipe(
            spec.prompt, negative_prompt=spec.negative_prompt, guidance_scale=spec.guidance, num_frames=spec.frames,
            num_inference_steps=spec.steps, height=spec.height, width=spec.width, **start,
        ).frames[0]  # fmt: skip
    return np.round(frames * 255).astype(np.uint8)


NAMES = schedulers.able({})  # lcm: test_students.py
STOCHASTIC = sorted({*NAMES} & {*schedulers.STOCHASTIC})


@pytest.mark.parametrize("scheduler", NAMES)
def test_equal_to_the_pipeline_from_the_same_seed(toy_pipe, scheduler):
    spec = resolve(toy_pipe, replace(SPEC, scheduler=scheduler, negative_prompt="a lake"))
    theirs = plain(toy_pipe, spec, generator=seeding.generator(spec.seed))
    np.testing.assert_array_equal(generate(toy_pipe, spec).frames, theirs)


@pytest.mark.parametrize("scheduler", sorted({*NAMES} - {*schedulers.STOCHASTIC}))
def test_equal_to_the_pipeline_from_the_same_latents(toy_pipe, scheduler):
    spec = resolve(toy_pipe, replace(SPEC, scheduler=scheduler))
    theirs = plain(toy_pipe, spec, latents=initial_latents(toy_pipe, [spec]))
    np.testing.assert_array_equal(generate(toy_pipe, spec).frames, theirs)


@pytest.mark.parametrize("guidance", [1.0, 1.5, 9.0])
def test_equal_to_the_pipeline_in_the_hub_layout(hub_pipe, guidance):
    spec = replace(HUB_SPEC, guidance=guidance)
    theirs = plain(hub_pipe, spec, generator=seeding.generator(spec.seed))
    np.testing.assert_array_equal(generate(hub_pipe, spec).frames, theirs)


def test_defaults_are_those_of_the_pipeline(hub_pipe):
    import inspect

    theirs = inspect.signature(type(hub_pipe).__call__).parameters
    ours = loading.defaults(hub_pipe)
    assert (ours.guidance, ours.frames) == (theirs["guidance_scale"].default, theirs["num_frames"].default)
    assert (ours.height, ours.width) == (256, 256)


def test_shape_and_record(toy_pipe):
    made = generate(toy_pipe, replace(SPEC, frames=5, height=48, width=80))
    assert made.frames.shape == (5, 48, 80, 3) and made.frames.dtype == np.uint8
    record = made.record
    assert record.spec == replace(SPEC, frames=5, height=48, width=80)
    assert (record.model, record.dtype, record.device) == ("toy", "float32", "cpu")
    assert record.frames_sha256 == frames_hash(made.frames)
    assert record.seconds > 0 and record.peak_memory_mib > 0 and "torch" in record.versions


def test_record_is_resolved(toy_pipe):
    spec = generate(toy_pipe, replace(SPEC, guidance=None, frames=1, steps=1)).record.spec
    assert (spec.guidance, spec.height, spec.width) == (4.0, 64, 64)


def test_same_seed_same_video_and_another_seed_another(toy_pipe):
    first, again, other = (generate(toy_pipe, replace(SPEC, seed=seed)) for seed in (7, 7, 8))
    assert first.record.frames_sha256 == again.record.frames_sha256 != other.record.frames_sha256


def test_prompt_negative_prompt_and_guidance_matter(toy_pipe):
    changes = [{}, {"prompt": "a dog"}, {"negative_prompt": "a dog"}, {"guidance": 5.0}, {"scheduler": "ddim"}]
    hashes = {generate(toy_pipe, replace(SPEC, **change)).record.frames_sha256 for change in changes}
    assert len(hashes) == len(changes)


def test_initial_noise_is_the_same_in_any_batch(toy_pipe):
    specs = [replace(SPEC, seed=seed, prompt=f"a dog {seed}") for seed in (5, 6, 7)]
    alone = torch.cat([initial_latents(toy_pipe, [spec]) for spec in specs])
    assert alone.shape == (3, 8, 3, 8, 8)
    assert torch.equal(initial_latents(toy_pipe, specs), alone)
    assert torch.equal(initial_latents(toy_pipe, specs[::-1]), alone.flip(0))


@pytest.mark.parametrize("scheduler", ["dpm++", "lms", *STOCHASTIC])
def test_a_video_does_not_depend_on_its_neighbours(toy_pipe, scheduler):
    specs = [replace(SPEC, seed=seed, scheduler=scheduler, prompt=prompt)
             for seed, prompt in ((1, "a dog is dancing"), (2, "a cat"), (3, "a fish on the moon"))]  # fmt: skip
    together = generate_batch(toy_pipe, specs, batch_size=3)
    turned = generate_batch(toy_pipe, specs[::-1], batch_size=3)[::-1]
    for made, again, spec in zip(together, turned, specs, strict=True):
        np.testing.assert_array_equal(made.frames, again.frames)
        np.testing.assert_array_equal(made.frames, generate(toy_pipe, spec).frames)
        assert made.record.spec == replace(spec, height=64, width=64)


def test_a_batch_is_cut_into_parts_and_keeps_its_order(toy_pipe):
    specs = [replace(SPEC, seed=seed) for seed in range(3)]
    steps = []
    made = generate_batch(toy_pipe, specs, batch_size=2, progress=steps.append)
    assert [one.record.spec.seed for one in made] == [0, 1, 2]
    assert [len(step.latents) for step in steps] == [2] * 4 + [1] * 4


def test_progress_sees_every_step(toy_pipe):
    seen = []
    generate(toy_pipe, SPEC, progress=lambda step: seen.append((step.index, step.total)))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4)]


@pytest.mark.parametrize("scheduler", NAMES)
def test_denoise_yields_every_call_of_the_unet(toy_pipe, scheduler):
    spec = resolve(toy_pipe, replace(SPEC, scheduler=scheduler))
    steps = list(denoise(toy_pipe, spec))
    assert len(steps) == steps[0].total == schedulers.unet_calls(scheduler, spec.steps)
    for step in steps:
        assert step.latents.shape == step.noise_pred.shape == step.x_0.shape == (1, *latent_shape(toy_pipe, spec))
    frames = decode_latents(toy_pipe, steps[-1].latents)[0]
    np.testing.assert_array_equal(frames, generate(toy_pipe, spec).frames)


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm", "euler", "euler_a", "kdpm2_a", "lms"])
def test_x_0_is_what_the_scheduler_of_diffusers_points_to(toy_pipe, scheduler):
    spec = resolve(toy_pipe, replace(SPEC, scheduler=scheduler))
    theirs = schedulers.make(scheduler, toy_pipe.scheduler.config)
    theirs.set_timesteps(spec.steps)
    latents = initial_latents(toy_pipe, [spec]) * theirs.init_noise_sigma
    for t, step in zip(theirs.timesteps, denoise(toy_pipe, spec), strict=True):
        theirs.scale_model_input(latents, t)
        pointed = theirs.step(step.noise_pred, t, latents).pred_original_sample
        torch.testing.assert_close(step.x_0, pointed, rtol=1e-3, atol=1e-3)
        latents = step.latents


def test_x_0_fits_the_latents_of_ddim(toy_pipe):
    """Formula against result: DDIM's next latent is x_0 and eps, mixed at the next abar (Song et al. 2021, eq. 12)."""
    spec = replace(SPEC, scheduler="ddim")
    steps = list(denoise(toy_pipe, spec))
    abar = toy_pipe.scheduler.alphas_cumprod
    for step, following in zip(steps, steps[1:], strict=False):
        mixed = noise.add_noise(step.x_0, step.noise_pred, abar[int(following.timestep)])
        torch.testing.assert_close(step.latents, mixed, rtol=1e-4, atol=1e-4)


def test_denoise_leaves_the_pipeline_alone(toy_pipe):
    before = toy_pipe.scheduler
    next(denoise(toy_pipe, replace(SPEC, scheduler="lms")))
    assert toy_pipe.scheduler is before


def test_nothing_asks_for_gradients(toy_pipe):
    assert not next(denoise(toy_pipe, SPEC)).latents.requires_grad
    assert not encode_prompt(toy_pipe, SPEC).requires_grad


def test_encode_prompt_gives_negative_first(toy_pipe):
    both = encode_prompt(toy_pipe, replace(SPEC, negative_prompt="a lake"))
    turned = encode_prompt(toy_pipe, replace(SPEC, prompt="a lake", negative_prompt=SPEC.prompt))
    assert both.shape == (2, 24, 32)
    torch.testing.assert_close(both, turned.flip(0))


@pytest.mark.parametrize("scheduler", STOCHASTIC)
def test_global_noise_is_neither_read_nor_moved(toy_pipe, scheduler):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = generate(toy_pipe, replace(SPEC, scheduler=scheduler))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert generate(toy_pipe, replace(SPEC, scheduler=scheduler)).record.frames_sha256 == first.record.frames_sha256


def test_half_precision_starts_from_the_same_noise(hub_folder, hub_pipe):
    half = loading.load(hub_folder, device="cpu", dtype="bfloat16")
    ours = initial_latents(half, [HUB_SPEC])
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, initial_latents(hub_pipe, [HUB_SPEC]).bfloat16())
    made = generate(half, replace(HUB_SPEC, steps=2))
    assert made.record.dtype == "bfloat16" and made.frames.std() > 0


def test_memory_grows_with_what_is_asked(hub_pipe):
    spec = resolve(hub_pipe, replace(HUB_SPEC, frames=16))
    needed = memory_needed(hub_pipe, spec)
    assert memory_needed(hub_pipe, replace(spec, frames=160)) == 10 * needed == 10 * memory_needed(hub_pipe, spec, 1)
    assert memory_needed(hub_pipe, spec, batch=4) == 4 * needed
    one = memory_needed(hub_pipe, replace(spec, frames=1))
    assert one == memory_needed(hub_pipe, replace(spec, frames=2)) > needed / 16  # here the VAE leads, frame by frame


def test_check_gives_back_the_resolved_spec(toy_pipe):
    spec = check(toy_pipe, GenerationSpec("a dog is sleeping"))
    assert (spec.guidance, spec.frames, spec.height, spec.width, spec.steps) == (4.0, 16, 64, 64, 25)


def test_save_writes_video_record_and_filmstrip(toy_pipe, tmp_path):
    made = generate(toy_pipe, SPEC)
    path = save(made, tmp_path / "new" / "dog.mp4", fps=8)
    assert sorted(file.name for file in path.parent.iterdir()) == ["dog.json", "dog.mp4", "dog.png"]
    assert GenerationRecord.load(path) == made.record
    assert json.loads(path.with_suffix(".json").read_text())["spec"]["seed"] == 7
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3 and film.get(cv2.CAP_PROP_FPS) == 8
    assert film.read()[1].shape == (256, 256, 3)  # 64 pixels, enlarged four times
    assert cv2.imread(str(path.with_suffix(".png"))) is not None


@pytest.mark.parametrize("name", ["dog.mp4", "dog.png", "dog.json"])
def test_save_writes_all_three_files_or_none(toy_pipe, tmp_path, name):
    made = generate(toy_pipe, replace(SPEC, steps=1, frames=1))
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError, match=f"{name} is a folder"):
        save(made, tmp_path / "dog.mp4")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_save_on_a_full_disk_keeps_what_was_there(toy_pipe, tmp_path, monkeypatch):
    first, second = (generate(toy_pipe, replace(SPEC, steps=1, frames=1, seed=seed)) for seed in (1, 2))
    save(first, tmp_path / "dog.mp4")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    flush = files._flush

    def full(path):
        if path.suffix == ".json":
            raise OSError(28, "No space left on device")
        flush(path)

    monkeypatch.setattr(files, "_flush", full)
    with pytest.raises(OSError, match="the disk is full, so .*dog.mp4 was not written"):
        save(second, tmp_path / "dog.mp4")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_generation_holds_frames_and_record(toy_pipe):
    made = generate(toy_pipe, replace(SPEC, steps=1, frames=1))
    assert isinstance(made, Generation) and isinstance(made.record, GenerationRecord)


@pytest.mark.parametrize("name", ["package.json", "package.png"])
def test_saving_a_video_replaces_no_other_programs_file(toy_pipe, tmp_path, name):
    (tmp_path / name).write_text("{}")
    made = generate(toy_pipe, SPEC)
    with pytest.raises(ValueError, match=name):
        save(made, tmp_path / "package.mp4")
    assert (tmp_path / name).read_text() == "{}" and not (tmp_path / "package.mp4").exists()
    for _ in range(2):
        save(made, tmp_path / "dog.mp4")


def test_what_is_no_generation_and_no_progress_is_refused(no_computing, tmp_path):
    with pytest.raises(ValueError, match="generation"):
        save(None, tmp_path / "a.mp4")
    for make in (generate, lambda pipe, spec, progress: generate_batch(pipe, [spec], progress=progress)):
        with pytest.raises(ValueError, match="progress=3"):
            make(no_computing, SPEC, progress=3)


@pytest.mark.parametrize("part", ["scheduler", "tokenizer"])
def test_nothing_in_place_of_a_part_is_refused(toy_pipe, part):
    with toy_pipe.using(**{part: None}), pytest.raises(ValueError, match=f"pipe.{part} is of type NoneType"):
        generate(toy_pipe, SPEC)


def test_a_negative_prompt_that_guidance_never_asks_for_is_told(toy_pipe):
    with pytest.warns(UserWarning, match="negative_prompt='a cat' has no effect with guidance=1"):
        generate(toy_pipe, replace(SPEC, negative_prompt="a cat", guidance=1.0))
