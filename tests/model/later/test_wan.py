"""Wan: tiny random parts of the real classes, saved to a folder, opened through the door, and made to run.

The published weights were never here: what holds for the tiny ones is that the same classes are read and called as
diffusers does it itself.
"""

import shutil
import sys

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, WanPipeline
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from conftest import change_json
from t2v_helpers.core import seeding, video
from t2v_helpers.core.model_names import WAN
from t2v_helpers.core.records import GenerationRecord
from t2v_helpers.model import loading
from t2v_helpers.model.generate import save
from t2v_helpers.model.later import wan
from t2v_helpers.model.later import wan_folder as door

PROMPT = "a dog is dancing on the moon"
SMALL = {"frames": 5, "height": 32, "width": 48, "steps": 3}


@pytest.fixture
def pipe(wan_folder):
    return wan.load(wan_folder, "cpu", "float32", quiet=True)


@pytest.fixture
def copy(wan_folder, tmp_path):
    """A folder that a test may damage."""
    return shutil.copytree(wan_folder, tmp_path / "wan")


def opened(folder, **words):
    return wan.load(folder, "cpu", quiet=True, **words)


# --- the door


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_parts_are_those_that_diffusers_loads(wan_folder, dtype):
    """The same numbers in the same dtypes; diffusers, too, keeps the VAE in float32 where it is asked to."""
    ours, kind = opened(wan_folder, dtype=dtype), getattr(torch, dtype)
    vae = AutoencoderKLWan.from_pretrained(wan_folder, subfolder="vae", dtype=torch.float32)
    theirs = WanPipeline.from_pretrained(wan_folder, vae=vae, dtype=kind)
    for part in door.KIND_OF:
        mine, wanted = getattr(ours, part).state_dict(), getattr(theirs, part).state_dict()
        assert mine.keys() == wanted.keys()
        for name, x in wanted.items():
            assert mine[name].dtype == x.dtype and torch.equal(mine[name], x), name
        assert not getattr(ours, part).training
    assert ours.text_encoder.shared.weight is ours.text_encoder.encoder.embed_tokens.weight


def test_the_tokenizer_reads_as_transformers_own(pipe, wan_folder):
    theirs = AutoTokenizer.from_pretrained(wan_folder / "tokenizer")
    for words in (PROMPT, "", "A  Robot, in Paris!", "dog"):
        given = {"padding": "max_length", "max_length": 16, "truncation": True}
        assert pipe.tokenizer(words, **given).input_ids == theirs(words, **given).input_ids
        assert pipe.tokenizer(words, **given).attention_mask == theirs(words, **given).attention_mask


def test_the_scheduler_is_the_folders(pipe, wan_folder):
    theirs = WanPipeline.from_pretrained(wan_folder).scheduler
    ours = {key: value for key, value in pipe.scheduler.config.items() if not key.startswith("_")}
    assert ours == {key: theirs.config[key] for key in ours} and ours["flow_shift"] == 3.0


def config(part, **change):
    """Another value in a part's config; "" is the index of the folder."""
    name = {"": "model_index.json", "scheduler": "scheduler_config.json", "tokenizer": "tokenizer.json"}
    return lambda folder: change_json(folder / part / name.get(part, "config.json"), change)


DAMAGE = {  # what is done to a folder -> words of the refusal
    "no index": (lambda f: (f / "model_index.json").unlink(), "model_index.json does not exist"),
    "another pipeline": (config("", _class_name="LTXPipeline"), "LTXPipeline"),
    "two denoisers": (config("", boundary_ratio=0.875), "boundary_ratio=0.875"),
    "Wan 2.2": (config("", expand_timesteps=True), "expand_timesteps=True"),
    "no VAE": (lambda f: shutil.rmtree(f / "vae"), "lacks vae"),
    "another width": (config("transformer", num_attention_heads=4), "transformer"),
    "other channels": (config("transformer", out_channels=8), "out_channels"),
    "another reader": (config("transformer", text_dim=8), "d_model"),
    "a picture, too": (config("transformer", image_dim=1280), "image_dim=1280"),
    "cut along time": (config("vae", temperal_downsample=[True] * 3), "temperal_downsample"),
    "means": (config("vae", latents_mean=[0.0]), "latents_mean"),
    "for betas": (config("scheduler", use_flow_sigmas=False), "use_flow_sigmas=False"),
    "another order": (config("scheduler", solver_order=3), "solver_order=3"),
    "fewer words": (config("text_encoder", vocab_size=40), "tokens"),
    "another tokenizer": (config("tokenizer", version="2.0"), "tokenizer.json"),
    "no tokenizer": (lambda f: (f / "tokenizer" / "tokenizer.json").unlink(), "tokenizer.json does not exist"),
    "not finite": (lambda f: change_weights(f / "vae", lambda x: x * float("nan")), "NaN"),
    "cut short": (lambda f: change_weights(f / "transformer", lambda x: x[:1]), "shape"),
    "a link to another's config": (lambda f: link_out(f / "vae" / "config.json"), "link out of its folder"),
    "a link to another's words": (lambda f: link_out(f / "tokenizer" / "tokenizer.json"), "link out of its folder"),
    "a link to a folder": (lambda f: link_out(f / "vae"), "link out of its folder"),
    "no weights": (lambda f: (f / "text_encoder" / "model.safetensors").unlink(), "missing"),
}


def link_out(path):
    there = path.rename(path.parents[1] / "moved")
    path.symlink_to(there)


def change_weights(folder, change):
    (path,) = folder.glob("*.safetensors")
    weights = load_file(path)
    name = max(weights, key=lambda name: weights[name].numel())
    save_file(weights | {name: change(weights[name]).contiguous()}, path, metadata={"format": "pt"})


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_folder_is_refused_in_one_sentence(copy, what):
    damage, words = DAMAGE[what]
    damage(copy)
    with pytest.raises(ValueError, match=words) as caught:
        opened(copy)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_code_and_pickles_beside_the_weights_are_not_read(copy):
    (copy / "transformer" / "modeling.py").write_text("raise SystemExit")
    (copy / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"not to be opened")
    change_json(copy / "text_encoder" / "config.json", {"auto_map": {"AutoModel": "modeling.py--Evil"}})
    assert opened(copy).transformer.config.num_layers == 2


# --- videos


def test_a_video_is_the_one_that_the_pipeline_of_diffusers_makes(pipe, wan_folder):
    made = wan.generate(pipe, wan.spec(PROMPT, seed=7, negative_prompt="a cat", guidance=3.0, **SMALL))
    theirs = WanPipeline.from_pretrained(wan_folder, dtype=torch.float32)
    theirs.set_progress_bar_config(disable=True)
    noise = seeding.noise([7], (16, 2, 4, 6))
    given = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 3, "guidance_scale": 3.0}
    frames = theirs(PROMPT, "a cat", latents=noise, **given).frames[0]
    assert np.abs(made.frames - 255 * frames).max() <= 0.51
    assert made.frames.shape == (5, 32, 48, 3) and made.frames.dtype == np.uint8


def test_the_record_says_what_was_asked_and_found(pipe, tmp_path):
    spec = wan.spec(PROMPT, seed=1, **SMALL)
    made, again = wan.generate(pipe, spec), wan.generate(pipe, spec)
    other = wan.generate(pipe, wan.spec(PROMPT, seed=2, **SMALL))
    assert np.array_equal(made.frames, again.frames) and not np.array_equal(made.frames, other.frames)
    path = save(made, tmp_path / "a.mp4", wan.FPS)
    record = GenerationRecord.load(path)
    assert record.spec == spec and (record.model, record.dtype, record.device) == ("wan", "float32", "cpu")
    assert record.weights == wan.fingerprint(pipe) and video.facts(path).fps == 16


def test_the_fingerprint_knows_weights_and_shift(pipe):
    before = wan.fingerprint(pipe)
    pipe.scheduler.register_to_config(flow_shift=5.0)
    shifted = wan.fingerprint(pipe)
    pipe.vae.post_quant_conv.bias.data += 1
    seen = {before, shifted, wan.fingerprint(pipe)}
    for held, name in ((pipe.vae, "decode"), (pipe, "encode_prompt"), (pipe.scheduler, "step")):
        setattr(held, name, lambda *given, **more: None)
        seen.add(wan.fingerprint(pipe))
    pipe.tokenizer.padding_side = "left"
    assert len(seen | {wan.fingerprint(pipe)}) == 7


def test_progress_counts_guided_steps(pipe):
    seen = []
    wan.generate(pipe, wan.spec(PROMPT, **SMALL), seen.append)
    assert seen == [0, 1, 2]


def test_bfloat16_runs(wan_folder):
    made = wan.generate(opened(wan_folder, dtype="bfloat16"), wan.spec(PROMPT, **SMALL))
    assert made.record.dtype == "bfloat16" and made.frames.std() > 0


def test_a_video_that_is_not_finite_is_refused(pipe):
    pipe.vae.post_quant_conv.bias.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        wan.generate(pipe, wan.spec(PROMPT, **SMALL))


@pytest.mark.parametrize("given, words", [
    ({"frames": 80}, "frames=80.*77 or 81"), ({"frames": 0}, "frames=0"), ({"height": 40}, "height=40"),
    ({"width": 47}, "width=47"), ({"steps": 0}, "steps=0"), ({"guidance": 0.5}, "guidance=0.5"),
    ({"seed": -1}, "seed=-1"), ({"scheduler": "ddim"}, "scheduler='ddim'"),
    ({"negative_prompt": "\ud800"}, "negative_prompt"),
    ({"negative_prompt": "a dog " * 300}, "negative_prompt has 601 tokens"),
])  # fmt: skip
def test_what_wan_cannot_make_is_refused_before_computing(pipe, given, words):
    pipe.transformer.forward = pipe.text_encoder.forward = None  # nothing may be computed
    with pytest.raises(ValueError, match=words):
        wan.generate(pipe, wan.spec(PROMPT, **SMALL | given))


def test_an_empty_prompt_is_refused(pipe):
    with pytest.raises(ValueError, match="prompt is empty"):
        wan.generate(pipe, wan.spec(" "))


def test_the_spec_has_wans_own_defaults():
    spec = wan.spec(PROMPT, seed=3)
    assert (spec.frames, spec.height, spec.width, spec.steps, spec.guidance) == (81, 480, 832, 50, 5.0)
    assert (spec.scheduler, spec.seed) == ("unipc", 3)
    wan.check_early(spec)


# --- where it is asked for


@pytest.mark.parametrize("open_it", [loading.load, loading.skeleton, loading.find, loading.weights_of])
def test_whoever_opens_a_unet_names_the_notebook_that_takes_wan(open_it):
    with pytest.raises(ValueError, match="model='wan'.*14_after_modelscope.*t2v generate --model wan"):
        open_it(WAN)


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match="dtype='float16'.*bfloat16"):
        wan.load("anywhere", "cpu", "float16")


def test_little_memory_is_told_before_anything_is_fetched(monkeypatch):
    monkeypatch.setattr(wan, "free_memory_bytes", lambda: 2**30)
    monkeypatch.setattr(wan.hub, "fetched", None)
    with pytest.raises(MemoryError, match="needs 13.7 GiB.*1.0 are free"):
        wan.load(None, "cpu", "bfloat16")


def test_an_ffmpeg_that_is_not_there_is_told_before_memory_or_a_download(monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/no/such/ffmpeg")
    monkeypatch.setattr(wan, "free_memory_bytes", lambda: 0)
    video.check_encoder.cache_clear()
    try:
        with pytest.raises(OSError, match="ffmpeg cannot be started"):
            wan.maker(wan.spec(PROMPT), "cpu")
    finally:
        video.check_encoder.cache_clear()


def test_a_processor_that_nobody_asked_for_is_called_slow(wan_folder, capsys):
    wan.load(wan_folder)
    found = capsys.readouterr().err
    assert ("very slow" in found) == (not torch.cuda.is_available())
    wan.load(wan_folder, "cpu")
    assert "slow" not in capsys.readouterr().err and sys.stderr


@pytest.mark.parametrize("option", ["memory", "fast", "lora"])
def test_options_for_a_unet_are_refused(option):
    wan.refuse(memory=None, fast=False, lora=None)
    with pytest.raises(ValueError, match=f"{option} works on a UNet"):
        wan.refuse(**{option: "given"})
