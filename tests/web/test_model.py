"""The networks of the page, and its whole video: what PyTorch makes of the same sentence and seed, within 2 of 255."""

import base64
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet3DConditionModel

from t2v_helpers.core import paths
from t2v_helpers.core.paths import ROOT
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import attention_maps
from t2v_helpers.model import denoising, generate, loading, swapping
from t2v_helpers.training import tiny_autoencoder

SETTINGS = [
    {"prompt": "A Robot is dancing in the Times Square", "seed": 1234, "steps": 6, "guidance": 4, "sampler": "dpm++"},
    {"prompt": "a cat is sleeping as a pencil sketch", "seed": 7, "steps": 3, "guidance": 1, "sampler": "ddim"},
]
WORD = ["Robot", "cat"]


@pytest.fixture(scope="module")
def pipe():
    return loading.load("cartoon", device="cpu", dtype="float32", quiet=True)


@pytest.fixture(scope="module")
def make(node):
    def run(settings: dict, folder: Path) -> dict:
        command = [node, ROOT / "web" / "test" / "make.js", folder]
        done = subprocess.run(command, input=json.dumps(settings), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


def other_model(folder: Path) -> Path:
    """A student of other shapes, with random weights: 16 latent channels, latents of 4x4 pixels; and its tiny VAE."""
    for part in ("text_encoder", "tokenizer", "scheduler"):
        shutil.copytree(paths.WEIGHTS / "model" / part, folder / part)
    config = folder / "scheduler" / "scheduler_config.json"
    own = {"timestep_spacing": "trailing", "set_alpha_to_one": True}
    config.write_text(json.dumps(json.loads(config.read_text()) | own))
    torch.manual_seed(0)
    blocks = {"down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"), "block_out_channels": (16, 32),
              "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D")}  # fmt: skip
    sizes = {"sample_size": 4, "in_channels": 16, "out_channels": 16, "layers_per_block": 1, "norm_num_groups": 8}
    unet = UNet3DConditionModel(**sizes, **blocks, cross_attention_dim=128, attention_head_dim=8)
    unet.save_pretrained(folder / "unet")
    vae = {"block_out_channels": (8,) * 4, "norm_num_groups": 4, "latent_channels": 16, "sample_size": 32}
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    AutoencoderKL(**vae, **kinds).save_pretrained(folder / "vae")
    AutoencoderTiny(latent_channels=16).save_pretrained(folder / "tiny")
    shutil.copy(paths.WEIGHTS / "model" / "model_index.json", folder)
    return folder


def numbers(text: str, shape, kind=np.float32) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


def spec_of(settings: dict) -> GenerationSpec:
    return GenerationSpec(settings["prompt"], scheduler=settings["sampler"],
                          **{name: settings[name] for name in ("seed", "steps", "guidance")})  # fmt: skip


@pytest.mark.parametrize("settings, word", list(zip(SETTINGS, WORD, strict=True)), ids=["guided", "plain"])
def test_a_video_of_the_page_is_the_video_of_python(make, parts, pipe, settings, word):
    found, spec, steps = make(settings, parts), spec_of(settings), []
    with attention_maps.recorded(pipe) as maps:
        frames = generate.generate(pipe, spec, progress=steps.append).frames
    tiny = swapping.read_part(AutoencoderTiny, tiny_autoencoder.FOLDER, pipe.vae)
    with swapping.swapped_part(pipe, vae=tiny):
        sketch = denoising.decode_latents(pipe, steps[-1].x_0)[0]
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


def test_all_shapes_and_the_sampling_are_the_models_own(make, packages, tmp_path):
    folder = other_model(tmp_path / "model")
    to = tmp_path / "parts"
    words = ["--model", folder, "--tiny", folder / "tiny", "--to", to]
    subprocess.run([sys.executable, ROOT / "web" / "export.py", *words], check=True, capture_output=True)
    known = json.loads((to / "model.json").read_text())
    assert (known["samplers"], known["steps"], known["guidance"], known["toOne"]) == (["ddim"], 2, 0, True)
    found, steps = make(SETTINGS[0], to), []
    other = loading.load(folder, device="cpu", dtype="float32", quiet=True)
    spec = replace(spec_of(SETTINGS[0]), height=32, width=32)
    frames = generate.generate(other, spec, progress=steps.append).frames
    assert steps[-1].x_0.shape == (1, 16, 16, 4, 4) and frames.shape == (16, 32, 32, 3)
    assert abs(numbers(found["pixels"], frames.shape, np.uint8).astype(int) - frames).max() <= 2


def test_weights_are_stored_in_half_precision(parts):
    weights = (parts / "unet.onnx").stat().st_size
    params = sum(p.numel() for p in loading.skeleton("cartoon")["unet"].parameters())
    assert 2 * params < weights < 2.1 * params


def test_the_files_do_not_name_the_machine_that_made_them(parts):
    assert not any(b"/torch/" in file.read_bytes() or b".py" in file.read_bytes() for file in parts.glob("*.onnx"))
