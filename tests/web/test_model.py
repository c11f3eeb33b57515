"""The networks of the page, and its whole video: what PyTorch makes of the same sentence and seed, within 2 of 255."""

import base64
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from t2v_helpers.core import paths
from t2v_helpers.core.paths import ROOT
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import attention_maps
from t2v_helpers.model import denoising, generate, loading, swapping
from t2v_helpers.training import tiny_autoencoder

ROBOT = {"prompt": "A Robot is dancing in the Times Square", "seed": 1234}
CAT = {"prompt": "a cat is sleeping as a pencil sketch", "seed": 7}
STUDENT, TEACHER = {"model": "student", "sampler": "ddim", "guidance": 1}, {"model": "teacher"}
SETTINGS = {  # and a word to look for
    "two calls": (ROBOT | STUDENT | {"steps": 2}, "Robot"),
    "four calls": (CAT | STUDENT | {"steps": 4}, "cat"),
    "guided": (ROBOT | TEACHER | {"sampler": "dpm++", "steps": 6, "guidance": 4}, "Robot"),
    "plain": (CAT | TEACHER | {"sampler": "ddim", "steps": 3, "guidance": 1}, "cat"),
}


@pytest.fixture(scope="module")
def pipes(parts):  # without a student there are no parts, and this is skipped
    words = {"device": "cpu", "dtype": "float32", "quiet": True}
    return {"student": loading.load("cartoon", **words, fast=True), "teacher": loading.load("cartoon", **words)}


@pytest.fixture(scope="module")
def make(node):
    def run(settings: dict, folder: Path) -> dict:
        command = [node, ROOT / "web" / "test" / "make.js", folder]
        done = subprocess.run(command, input=json.dumps(settings), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


def numbers(text: str, shape, kind=np.float32) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


def spec_of(settings: dict) -> GenerationSpec:
    trailing = "_trailing" * (settings["model"] == "student")
    return GenerationSpec(settings["prompt"], scheduler=settings["sampler"] + trailing,
                          **{name: settings[name] for name in ("seed", "steps", "guidance")})  # fmt: skip


@pytest.mark.parametrize("settings, word", SETTINGS.values(), ids=SETTINGS)
def test_a_video_of_the_page_is_the_video_of_python(make, parts, pipes, settings, word):
    found, spec, steps, pipe = make(settings, parts), spec_of(settings), [], pipes[settings["model"]]
    with attention_maps.recorded(pipe) as maps:
        frames = generate.generate(pipe, spec, progress=steps.append).frames
    tiny = swapping.read_part(AutoencoderTiny, tiny_autoencoder.FOLDER, pipe.vae)
    with swapping.swapped_part(pipe, vae=tiny):
        sketch = denoising.decode_latents(pipe, steps[-1].x_0)[0][::2].repeat(2, axis=0)
    for name, expected in {"pixels": frames, "sketch": sketch}.items():
        assert abs(numbers(found[name], frames.shape, np.uint8).astype(int) - expected).max() <= 2, name
    for call, step in zip(found["calls"], steps, strict=True):
        expected = step.x_0[0].numpy()
        np.testing.assert_allclose(numbers(call["x0"], expected.shape), expected, atol=1e-3)
    compare_heat(found, maps, pipe.tokenizer, spec.prompt, word)


def compare_heat(found: dict, maps: attention_maps.Maps, tokenizer, prompt: str, word: str) -> None:
    expected = maps.of_word(tokenizer, prompt, word)
    seen = np.mean([numbers(call["maps"], (*expected.shape, 24)) for call in found["calls"]], axis=0)
    (place,) = attention_maps.tokens_of(tokenizer, prompt, word)
    torch.testing.assert_close(torch.tensor(seen[..., place]), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings, word", SETTINGS.values(), ids=SETTINGS)
def test_all_shapes_and_the_sampling_are_the_models_own(make, others, settings, word):
    parts, pipes = others
    found, steps, pipe = make(settings, parts), [], pipes[settings["model"]]
    with attention_maps.recorded(pipe) as maps:
        frames = generate.generate(pipe, replace(spec_of(settings), height=32, width=32), progress=steps.append).frames
    assert steps[-1].x_0.shape == (1, 16, 16, 4, 4) and frames.shape == (16, 32, 32, 3) and frames.std() > 0
    assert abs(numbers(found["pixels"], frames.shape, np.uint8).astype(int) - frames).max() <= 2
    compare_heat(found, maps, pipe.tokenizer, settings["prompt"], word)


def test_the_page_knows_how_each_of_them_is_sampled(others):
    known = json.loads((others[0] / "model.json").read_text(encoding="utf-8"))["models"]
    assert list(known) == ["student", "teacher"]  # the first is the page's own choice
    student = {
        "samplers": ["ddim"],
        "counts": [1, 2, 4],
        "steps": 2,
        "guidance": 1,
        "spacing": "trailing",
        "toOne": True,
    }
    assert student.items() <= known["student"].items()
    assert (known["teacher"]["spacing"], known["teacher"]["toOne"]) == ("leading", False)
    assert len(known["student"]["abar"]) == len(known["teacher"]["abar"]) == 1000


def test_models_that_do_not_belong_in_the_page_are_refused(
    export, student_folders, whole_folders, toy_folder, tmp_path
):
    halved, consistent, shipped = student_folders["ddim_trailing"], student_folders["lcm"], paths.WEIGHTS / "model"
    for student, teacher, said in [(toy_folder, toy_folder, "holds no student"), (halved, halved, "holds a student"),
                                   (halved, whole_folders["ddim_trailing"], "holds no teacher"),
                                   (consistent, toy_folder, "LCMScheduler"), (halved, shipped, "not taught"),
                                   (halved, toy_folder, "latents of 8 channels, but the VAE reads 16")]:  # fmt: skip
        with pytest.raises(ValueError, match=said):
            export.export(student, teacher, tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_without_a_student_one_sentence_says_what_makes_it(export, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["export.py", "--student", str(tmp_path / "student")])
    with pytest.raises(SystemExit, match="needs the student, and .*student is not there: `t2v train halving student`"):
        export.main()


@pytest.mark.parametrize("model", ["student", "teacher"])
def test_weights_are_stored_in_half_precision(parts, model):
    weights = (parts / f"{model}.onnx").stat().st_size
    params = sum(p.numel() for p in loading.skeleton("cartoon")["unet"].parameters())
    assert 2 * params < weights < 2.1 * params


def test_the_files_do_not_name_the_machine_that_made_them(parts):
    assert not any(b"/torch/" in file.read_bytes() or b".py" in file.read_bytes() for file in parts.glob("*.onnx"))
