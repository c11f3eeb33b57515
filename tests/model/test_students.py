"""Models of few steps: whole, with a tiny autoencoder, and as students, which take all but a UNet from a teacher."""

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, DiffusionPipeline
from safetensors.torch import load_file, save_file

from t2v_helpers import cli
from t2v_helpers.core import files, seeding
from t2v_helpers.core.model_names import Model
from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.diffusion import schedulers
from t2v_helpers.inside import attention_maps
from t2v_helpers.model import loading, lora, swapping, sweep, validation
from t2v_helpers.model.folders import manifests
from t2v_helpers.model.generate import generate
from t2v_helpers.model.pipeline import fingerprint
from t2v_helpers.show import playground
from t2v_helpers.training import finetune

PROMPT = "a robot is dancing"
SIZE = {"frames": 2, "height": 32, "width": 32}
VAE = "vae/diffusion_pytorch_model.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(params=["ddim_trailing", "lcm"])
def folder(request, whole_folders):
    """A whole model's folder; its name is that of its scheduler."""
    return whole_folders[request.param]


@pytest.fixture
def pipe(folder):
    return loading.load(folder, device="cpu", dtype="float32")


@pytest.fixture
def copy(folder, tmp_path):
    """A folder of one's own, without a manifest, to be damaged."""
    return copied(folder, tmp_path)


def copied(folder, tmp_path):
    place = shutil.copytree(folder, tmp_path / folder.name)
    (place / manifests.MANIFEST).unlink()
    return place


def asked(pipe, **changes) -> GenerationSpec:
    return GenerationSpec(PROMPT, **SIZE | loading.sampling(pipe) | changes)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_courses_video_is_that_of_a_plain_script(folder, pipe, steps):
    plain = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    plain.set_progress_bar_config(disable=True)
    sizes = {"num_frames": 2, "height": 32, "width": 32, "generator": seeding.generator(0)}
    theirs = plain(PROMPT, num_inference_steps=steps, guidance_scale=1, **sizes).frames[0]
    ours = generate(pipe, asked(pipe, steps=steps))
    np.testing.assert_array_equal(ours.frames, np.round(theirs * 255).astype(np.uint8))
    assert ours.frames.std() > 0
    assert (ours.record.spec.scheduler, ours.record.spec.guidance) == (folder.name, 1.0)


def test_it_knows_how_it_is_sampled(folder, pipe):
    assert pipe.student == folder.name and isinstance(pipe.vae, AutoencoderTiny)
    assert loading.defaults(pipe).guidance == loading.defaults(loading.outline(folder)).guidance == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validation.check(pipe, asked(pipe))
    for change in ({"scheduler": "dpm++", "steps": 25}, {"guidance": 4.0}):
        with pytest.warns(UserWarning, match=f"not how this model was distilled .* scheduler='{folder.name}'"):
            validation.check(pipe, asked(pipe, **change))


def test_other_models_are_no_students(toy_pipe, hub_pipe):
    assert (toy_pipe.student, hub_pipe.student) == ("", "") and loading.sampling(toy_pipe) == {}


def test_saved_again_it_is_the_same(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "again")
    again = loading.load(tmp_path / "again", device="cpu", dtype="float32")
    assert (again.student, fingerprint(again)) == (pipe.student, fingerprint(pipe))
    made = [generate(one, asked(pipe)).record.frames_sha256 for one in (pipe, again)]
    assert made[0] == made[1]


def changed(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def reweighed(place, change, file=VAE):
    weights = load_file(place / file)
    save_file(change(weights, min(weights)), place / file)


@pytest.mark.parametrize("damage, said", [
    (lambda place: reweighed(place, lambda x, first: x | {first: x[first] * torch.nan}), "holds NaN or infinity"),
    (lambda place: reweighed(place, lambda x, first: dict(list(x.items())[::2])), "is missing in the weights"),
    (lambda place: reweighed(place, lambda x, first: x | {"more": torch.ones(1)}), "no place for it"),
    (lambda place: (place / VAE).rename(place / "vae" / "diffusion_pytorch_model.bin"), "pickles are not opened"),
    (lambda place: changed(place / "vae" / "config.json", _class_name="AutoencoderKL"), "must be AutoencoderTiny"),
    (lambda place: changed(place / "vae" / "config.json", latent_channels=4), "has latent_channels=4, .* must be 8"),
    (lambda place: changed(place / "vae" / "config.json", num_decoder_blocks=[1] * 5), "num_decoder_blocks"),
    (lambda place: changed(place / "model_index.json", vae=["diffusers", "AutoencoderKL"]), "must be AutoencoderKL"),
    (lambda place: changed(place / "model_index.json", vae=["evil", "AutoencoderTiny"]), "is needed"),
    (lambda place: changed(place / "scheduler" / "scheduler_config.json", original_inference_steps=1001),
     "original_inference_steps=1001 .* 1 to 1000"),
    (lambda place: changed(place / "scheduler" / "scheduler_config.json", timestep_spacing="none"), "timestep_spacing"),
])  # fmt: skip
def test_a_damaged_one_is_refused(copy, damage, said):
    loading.load(copy, device="cpu")
    damage(copy)
    with pytest.raises(ValueError, match=said):
        loading.load(copy, device="cpu")


def test_its_parts_can_be_watched_and_swapped(pipe, toy_pipe):
    spec = asked(pipe)
    with attention_maps.recorded(pipe) as maps:
        before = generate(pipe, spec).frames
    heat = maps.of_word(pipe.tokenizer, PROMPT, "robot")
    assert maps.calls == spec.steps and heat.shape == (2, 4, 4) and 0 < heat.mean() < 1
    with swapping.swapped_part(pipe, vae=toy_pipe.vae):
        assert not np.array_equal(generate(pipe, spec).frames, before)
    np.testing.assert_array_equal(generate(pipe, spec).frames, before)
    with swapping.swapped_scheduler(pipe, "euler"):
        np.testing.assert_array_equal(generate(pipe, spec).frames, before)


def test_it_fits_into_so_much_memory(folder, pipe):
    plan = loading.plan(folder, "8GiB", device="cpu", frames=4)
    planned = loading.load(folder, device="cpu", memory=plan, quiet=True)
    assert planned.plan is plan and plan.needed < 2**33
    with pytest.raises(MemoryError, match="is too little for 4 frames"):
        loading.plan(folder, "1MiB", device="cpu", frames=4)
    planned.vae.enable_slicing()
    np.testing.assert_array_equal(generate(planned, asked(pipe)).frames, generate(pipe, asked(pipe)).frames)


def test_it_learns_a_word(pipe):
    clip = np.full((2, 32, 32, 3), 128, np.uint8)
    new = finetune.Examples(finetune.encode(pipe, [clip]), finetune.read(pipe, [PROMPT]))
    assert new.latents.shape == (1, 8, 2, 4, 4)
    losses = finetune.train(pipe, lora.add(pipe, rank=2), new, settings=finetune.Settings(steps=2, batch=2))
    assert all(np.isfinite(list(losses)))
    assert generate(pipe, asked(pipe)).record.model.endswith(" with a LoRA")


def test_the_command_line_asks_for_its_own_sampling(folder, tmp_path, capsys):
    sizes = [word for name, value in SIZE.items() for word in (f"--{name}", str(value))]
    common = ["--model", str(folder), "--device", "cpu", *sizes]
    assert cli.main(["generate", PROMPT, *common, "-o", str(tmp_path / "a.mp4")]) == 0
    spec = GenerationRecord.load(tmp_path / "a.mp4").spec
    steps = loading.FEW[folder.name]
    assert (spec.scheduler, spec.steps, spec.guidance) == (folder.name, steps, 1.0)
    assert cli.main(["sweep", "--prompt", PROMPT, *common, "-o", str(tmp_path / "s"), "--steps", "1", "2"]) == 0
    found = [row["spec"] for row in sweep.rows(tmp_path / "s" / sweep.TABLE)]
    assert [(one["scheduler"], one["steps"]) for one in found] == [(folder.name, 1), (folder.name, 2)]
    assert cli.main(["trace", str(folder), "--frames", "2"]) == 0
    assert "parameters" in capsys.readouterr().out


def test_the_playground_begins_with_its_own_sampling(pipe):
    first = playground.Playground(pipe).spec()
    assert (first.scheduler, first.steps, first.guidance) == (pipe.student, loading.FEW[pipe.student], 1.0)


# --- a student: a UNet and a scheduler, and the other parts of its teacher


@pytest.fixture(params=["ddim_trailing", "lcm"])
def student(request, student_folders):
    """The folder of a student of the toy; its name is that of its scheduler."""
    return student_folders[request.param]


@pytest.fixture
def own(student, tmp_path):
    """A student's folder of one's own, without a manifest, to be damaged."""
    return copied(student, tmp_path)


@pytest.fixture
def taught(student, toy_folder, monkeypatch):
    """The toy in place of the cartoon, with a student."""
    monkeypatch.setitem(loading.MODELS, "cartoon", Model(toy_folder, student))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_in_its_teachers_pipeline_plain_diffusers_makes_the_same_video(student, toy_folder, toy_pipe, steps):
    teacher = DiffusionPipeline.from_pretrained(toy_folder, dtype=torch.float32)
    lent = {part: getattr(teacher, part) for part in ("vae", "text_encoder", "tokenizer")}
    plain = DiffusionPipeline.from_pretrained(student, **lent, dtype=torch.float32)
    plain.set_progress_bar_config(disable=True)
    sizes = {"num_frames": 2, "height": 32, "width": 32, "generator": seeding.generator(0)}
    theirs = plain(PROMPT, num_inference_steps=steps, guidance_scale=1, **sizes).frames[0]
    fast = loading.with_student(toy_pipe, student)
    ours = generate(fast, asked(fast, steps=steps)).frames
    np.testing.assert_array_equal(ours, np.round(theirs * 255).astype(np.uint8))
    with fast.using(unet=toy_pipe.unet):
        assert not np.array_equal(ours, generate(fast, asked(fast, steps=steps)).frames)


def test_its_folder_has_two_parts_and_says_whose_the_others_are(student, toy_folder):
    manifests.check(student)
    assert {path.name for path in student.iterdir()} == {
        "unet", "scheduler", "model_index.json", "teacher.json", manifests.MANIFEST}  # fmt: skip
    index = json.loads((student / "model_index.json").read_text())
    assert index["_class_name"] == "TextToVideoSDPipeline"
    assert index["vae"] == index["text_encoder"] == index["tokenizer"] == [None, None]
    assert load_file(student / UNET)["conv_in.weight"].dtype == torch.float16
    loading.check_teacher(student, toy_folder)


def test_all_else_is_the_teachers(student, toy_pipe):
    fast = loading.with_student(toy_pipe, student)
    assert all(getattr(fast, part) is getattr(toy_pipe, part) for part in ("vae", "text_encoder", "tokenizer"))
    assert (fast.student, fast.name, toy_pipe.student) == (student.name, "toy (fast)", "")
    half = loading.load(loading.find(toy_pipe.config._name_or_path).folder, device="cpu", dtype="bfloat16")
    assert loading.with_student(half, student).unet.dtype == torch.bfloat16  # it reads by the same weights


@pytest.mark.usefixtures("taught")
def test_fast_gives_the_student_and_the_record_says_so(student, toy_pipe):
    fast = loading.load("cartoon", device="cpu", dtype="float32", fast=True)
    assert (fast.student, fast.name) == (student.name, "cartoon (fast)")
    assert fingerprint(fast) == fingerprint(loading.with_student(toy_pipe, student)) != fingerprint(toy_pipe)
    assert generate(fast, asked(fast)).record.model == "cartoon (fast)"
    assert loading.load("cartoon", device="cpu").student == ""


@pytest.mark.usefixtures("taught")
def test_before_it_is_loaded_it_is_known_how_it_is_sampled_and_what_it_needs(student):
    bare = loading.outline("cartoon", fast=True)
    assert (bare.student, loading.defaults(bare).guidance) == (student.name, 1)
    plan = loading.plan("cartoon", "8GiB", device="cpu", fast=True)
    assert plan == loading.plan("cartoon", "8GiB", device="cpu")  # its UNet has its teacher's sizes
    fast = loading.load("cartoon", device="cpu", quiet=True, memory="8GiB", fast=True)
    assert fast.student == student.name and fast.plan == plan


def test_alone_it_is_not_opened(student, capsys):
    said = r'holds a student, .*: use load\("cartoon", fast=True\), or with_student'
    for open_it in (loading.load, loading.skeleton, loading.outline):
        with pytest.raises(ValueError, match=said):
            open_it(student)
    assert cli.main(["generate", PROMPT, "--model", str(student)]) == 2
    assert "holds a student" in capsys.readouterr().err


def linked(place):
    shutil.move(place / "unet", place.parent / "elsewhere")
    (place / "unet").symlink_to(place.parent / "elsewhere")


@pytest.mark.parametrize("damage, said", [
    (lambda place: reweighed(place, lambda x, first: x | {first: x[first] * torch.nan}, UNET), "holds NaN or infinity"),
    (lambda place: reweighed(place, lambda x, _: dict(list(x.items())[::2]), UNET), "is missing in the weights"),
    (lambda place: (place / UNET).rename(place / "unet" / "diffusion_pytorch_model.bin"), "pickles are not opened"),
    (linked, "is a link out of its folder"),
    (lambda place: shutil.rmtree(place / "scheduler"), "lacks scheduler"),
    (lambda place: (place / "teacher.json").unlink(), "holds no student, since it has no teacher.json"),
    (lambda place: (place / "teacher.json").write_text("{}"), "teacher.json: text_encoder is of type NoneType"),
    (lambda place: changed(place / "teacher.json", text_encoder="0"), "was not taught by"),
    (lambda place: changed(place / "model_index.json", vae=["diffusers", "AutoencoderKL"]), "has vae=.* is needed"),
    (lambda place: changed(place / "model_index.json", unet=["evil", "UNet3DConditionModel"]), "has unet=.* is needed"),
    (lambda place: changed(place / "unet" / "config.json", in_channels=4), "has in_channels=4, but .* needs 8"),
    (lambda place: changed(place / "unet" / "config.json", out_channels=4), "has out_channels=4, but .* needs 8"),
    (lambda place: changed(place / "unet" / "config.json", cross_attention_dim=8), "has cross_attention_dim=8, .* 32"),
    (lambda place: changed(place / "unet" / "config.json", layers_per_block=2), "is missing in the weights"),
    (lambda place: changed(place / "scheduler" / "scheduler_config.json", _class_name="DDIMScheduler",
                           timestep_spacing="leading"), "scheduler_config.json is no student's"),
    (lambda place: files.write_text(place / manifests.MANIFEST, json.dumps(
        {"files": {"teacher.json": {"bytes": 1, "sha256": "0" * 64}}})), "bytes, but 1 are expected"),
])  # fmt: skip
def test_a_damaged_student_is_refused(own, toy_pipe, damage, said):
    loading.with_student(toy_pipe, own)
    damage(own)
    with pytest.raises(ValueError, match=said):
        loading.with_student(toy_pipe, own)


def test_what_is_no_student_is_refused(folder, student, toy_pipe, hub_pipe, tmp_path):
    for place, said in ((folder, "holds no student, since it has no teacher.json"), (tmp_path, "holds no student")):
        with pytest.raises(ValueError, match=said):
            loading.with_student(toy_pipe, place)
    with pytest.raises(ValueError, match="was not taught by text-to-video-ms-1.7b"):
        loading.with_student(hub_pipe, student)


def test_a_model_without_a_student_says_so_in_one_sentence(toy_folder, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="model='.*toy' has no student: leave out fast"):
        loading.load(toy_folder, fast=True)
    monkeypatch.setitem(loading.MODELS, "cartoon", Model(toy_folder, tmp_path / "student"))
    with pytest.raises(ValueError, match="'cartoon' has no student in .*student .`t2v train` makes it.: leave out"):
        loading.load("cartoon", fast=True)


def test_the_student_of_another_teacher_is_refused_before_anything_is_loaded(
    student, toy_folder, folder, tmp_path, monkeypatch
):
    other = copied(toy_folder, tmp_path)
    monkeypatch.setitem(loading.MODELS, "cartoon", Model(other, student))
    words = other / "text_encoder" / "model.safetensors"
    weights = load_file(words)
    save_file({name: x.float() for name, x in weights.items()}, words)
    assert loading.student_of("cartoon") == student  # in other digits it is the same
    save_file(weights | {min(weights): weights[min(weights)] + 1}, words)
    monkeypatch.setattr(loading, "_open", lambda *_: pytest.fail("it was loaded"))
    for ask in (loading.load, loading.outline, loading.skeleton):
        with pytest.raises(ValueError, match=r"student in .* was not taught by the model in .*toy, .*: distil it"):
            ask("cartoon", fast=True)
    loading.check_teacher(folder, toy_folder)
    with pytest.raises(ValueError, match="was not taught by"):
        loading.check_teacher(folder, other)  # a whole model has a text encoder of its own


def test_fast_is_yes_or_no(toy_folder):
    with pytest.raises(ValueError, match="fast='yes'"):
        loading.load(toy_folder, fast="yes")


@pytest.mark.usefixtures("taught")
def test_the_command_line_takes_it_by_fast(student, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = [word for name, value in SIZE.items() for word in (f"--{name}", str(value))]
    assert cli.main(["generate", PROMPT, "--device", "cpu", *sizes, "--fast", "--memory", "8GiB"]) == 0
    (path,) = (tmp_path / "outputs").glob("*.mp4")
    record = GenerationRecord.load(path)
    assert path.stem.endswith("-fast") and record.model == "cartoon (fast)"
    assert (record.spec.scheduler, record.spec.steps) == (student.name, loading.FEW[student.name])


# --- the scheduler that is for them alone


def test_lcm_is_for_its_students_alone(toy_pipe, tmp_path, capsys, monkeypatch):
    with pytest.raises(ValueError, match="'lcm' does not run with this pipeline: .*distilled.*; use ddim, "):
        generate(toy_pipe, GenerationSpec(PROMPT, scheduler="lcm", **SIZE))
    monkeypatch.setattr(loading, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    assert cli.main(["generate", PROMPT, "--scheduler", "lcm", "-o", str(tmp_path / "a.mp4")]) == 2
    assert "distilled" in capsys.readouterr().err
    assert "lcm" not in schedulers.able(toy_pipe.scheduler.config)


def test_a_student_takes_no_more_steps_than_its_teacher(pipe):
    spec = replace(asked(pipe), scheduler=pipe.student, steps=51)
    if pipe.student == "lcm":
        with pytest.raises(ValueError, match="steps=51 .* 1 to 50"):
            validation.check(pipe, spec)
    else:
        validation.check(pipe, spec)


def test_torchs_default_device_does_not_matter_to_whose_student_it_is():
    with torch.device("meta"):
        assert loading.load("cartoon", fast=True, quiet=True).unet.device.type == "cpu"
