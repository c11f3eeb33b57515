"""Toy pipelines of the real diffusers classes, built in a second, with small random weights.

    toy_folder, toy_pipe   the cartoon's layout: 8 latent channels, 64x64 pixels, 24 tokens, weights stored in fp16
    hub_folder, hub_pipe   the hub's ModelScope layout, file by file: two variants, old names of the weights, a text
                           encoder that says torch_dtype float16
    wan_folder             the layout of the hub's Wan 2.1, whose tokenizer passes for the published one
    student_folders        students of the toy, as `t2v train student` writes them: a UNet and a scheduler of few steps
    whole_folders          the cartoon's layout again, as whole models of few steps, with a tiny autoencoder
    solution               a function out of the solution of an exercise

The pipelines are shared by the whole run: a test that changes one puts it back, or loads its own from the folder.
Toy models are too small for two threads: each test, and each Python that it starts, computes in one.
"""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which reads it once

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    AutoencoderTiny,
    DDIMScheduler,
    TextToVideoSDPipeline,
    UNet3DConditionModel,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Tokenizer, UMT5Config, UMT5EncoderModel

from t2v_helpers import cartoon
from t2v_helpers.core import files
from t2v_helpers.model.folders import manifests

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions"
START, END = "<|startoftext|>", "<|endoftext|>"
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

# What the hub's folder says and ours would not: kept as published, apart from the sizes.
HUB_SCHEDULER = {
    "_class_name": "DDIMScheduler", "_diffusers_version": "0.15.0.dev0", "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": False, "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995, "num_train_timesteps": 1000, "prediction_type": "epsilon",
    "sample_max_value": 1.0, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
    "thresholding": False, "trained_betas": None,
}  # fmt: skip
HUB_TEXT = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "torch_dtype": "float16",
            "transformers_version": "4.27.0.dev0"}  # fmt: skip
HUB_OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}  # attention in the VAE


def word_vocabulary(words: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level BPE in which each of `words` is one token, and any other text is spelt out."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=9999, initial_alphabet=letters, end_of_word_suffix="</w>",
                                  show_progress=False)  # fmt: skip
    bpe.train_from_iterator(words, trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    return {token: i for i, token in enumerate(tokens)}, merges


def make_tokenizer(length: int) -> CLIPTokenizer:
    vocab, merges = word_vocabulary(cartoon.vocabulary())
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=length)


def make_text_encoder(tokenizer: CLIPTokenizer, length: int, **config) -> CLIPTextModel:
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
           "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), max_position_embeddings=length,
                                        hidden_act="gelu", **sizes, **ids | config))  # fmt: skip


def make_unet(channels: int, widths: tuple[int, ...], sample_size: int) -> UNet3DConditionModel:
    n = len(widths) - 1
    return UNet3DConditionModel(
        sample_size=sample_size, in_channels=channels, out_channels=channels, block_out_channels=widths,
        down_block_types=("CrossAttnDownBlock3D",) * n + ("DownBlock3D",),
        up_block_types=("UpBlock3D",) + ("CrossAttnUpBlock3D",) * n,
        layers_per_block=1, norm_num_groups=4, cross_attention_dim=32, attention_head_dim=4,
    )  # fmt: skip


def make_vae(channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=channels, layers_per_block=1, norm_num_groups=4,
        scaling_factor=0.18215, sample_size=64,
    )  # fmt: skip


def fill_zeros(module: torch.nn.Module) -> None:
    """Layers that start at zero (the temporal ones) would hide mistakes: give them small weights too."""
    for parameter in module.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)


def make_pipeline(channels: int, widths: tuple[int, ...], sample_size: int, tokens: int,
                  **text) -> TextToVideoSDPipeline:  # fmt: skip
    tokenizer = make_tokenizer(tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = make_unet(channels, widths, sample_size)
        fill_zeros(unet)
        return TextToVideoSDPipeline(
            vae=make_vae(channels), text_encoder=make_text_encoder(tokenizer, tokens, **text), tokenizer=tokenizer,
            unet=unet, scheduler=DDIMScheduler(**BETAS, steps_offset=1, clip_sample=False, set_alpha_to_one=False),
        )  # fmt: skip


def change_json(path: Path, change: dict, drop: str = "") -> None:
    values = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in values.items() if key != drop}, indent=2))


def age_weights(folder: Path) -> None:
    """Give the weights the names of 2023, which today's classes still read."""
    for path in folder.glob("text_encoder/*.safetensors"):
        old = {f"text_model.{name.removeprefix('text_model.')}": x for name, x in load_file(path).items()}
        old["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        save_file(old, path, metadata={"format": "pt"})
    for path in folder.glob("vae/*.safetensors"):
        save_file({_old_name(name): x for name, x in load_file(path).items()}, path, metadata={"format": "pt"})


def _old_name(name: str) -> str:
    for new, old in HUB_OLD_NAMES.items():
        name = name.replace(f".{new}.", f".{old}.") if ".attentions." in name else name
    return name


def age_tokenizer(folder: Path, tokenizer: CLIPTokenizer) -> None:
    """The four tokenizer files of 2023: they disagree about the pad token, and there is no tokenizer.json."""
    shutil.rmtree(folder)
    folder.mkdir()
    vocab, merges = word_vocabulary(cartoon.vocabulary())
    special = {"bos_token": START, "eos_token": END, "unk_token": END}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    (folder / "special_tokens_map.json").write_text(json.dumps(special | {"pad_token": "!"}))
    (folder / "tokenizer_config.json").write_text(json.dumps(special | {
        "add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 77,
        "pad_token": END, "special_tokens_map_file": "./special_tokens_map.json", "tokenizer_class": "CLIPTokenizer",
    }))  # fmt: skip


@pytest.fixture(scope="session")
def solution():
    """solution("05_1", "video_flops"): that function, from the repository's own notebooks/solutions/05_1.py."""

    def function(name: str, wanted: str):
        there = {"torch": torch}  # as in the notebook
        exec((SOLUTIONS / f"{name}.py").read_text(), there)
        return there[wanted]

    return function


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory) -> Path:
    """The layout of the shipped model: fp16 weights under the plain names, and a manifest."""
    folder = tmp_path_factory.mktemp("toy") / "toy"
    make_pipeline(8, (8, 16), 8, 24).to(torch.float16).save_pretrained(folder)
    manifests.write(folder)
    return folder


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory) -> Path:
    """The layout of the hub's text-to-video-ms-1.7b, and pickles beside the weights that nobody may open."""
    folder = tmp_path_factory.mktemp("hub") / "text-to-video-ms-1.7b"
    pipe = make_pipeline(4, (8, 8, 8, 8), 32, 77, **HUB_TEXT)
    pipe.save_pretrained(folder)
    pipe.to(torch.float16).save_pretrained(folder, variant="fp16")
    age_weights(folder)
    age_tokenizer(folder / "tokenizer", pipe.tokenizer)
    change_json(folder / "text_encoder" / "config.json", HUB_TEXT, drop="dtype")
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(HUB_SCHEDULER))
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    for name in ("text_encoder/pytorch_model", "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        (folder / f"{name}.bin").write_bytes(b"not to be opened")
        (folder / f"{name}.fp16.bin").write_bytes(b"not to be opened")
    return folder


def make_wan() -> WanPipeline:
    """Wan 2.1 in small: a tokenizer of words and letters, and random parts of its classes."""
    letters = [chr(c) for c in range(97, 123)]
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *letters, *(f"\u2581{word}" for word in cartoon.vocabulary())]
    tokenizer = T5Tokenizer(vocab=[(piece, -1.0) for piece in pieces], extra_ids=0)
    text = UMT5Config(vocab_size=128, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        denoiser = WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=16, ffn_dim=24, num_layers=2,
            rope_max_seq_len=32,
        )  # fmt: skip
        vae = AutoencoderKLWan(base_dim=3, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
        return WanPipeline(
            tokenizer=tokenizer, text_encoder=UMT5EncoderModel(text), transformer=denoiser, vae=vae,
            scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
        )  # fmt: skip


@pytest.fixture(scope="session")
def wan_stored(tmp_path_factory) -> Path:
    """The folder that `make_wan` leaves, as its own library writes it."""
    folder = tmp_path_factory.mktemp("wan") / "wan"
    make_wan().save_pretrained(folder)
    return folder


@pytest.fixture
def wan_folder(wan_stored, monkeypatch) -> Path:
    """The same; its tokenizer passes for the published one, which is the only one that is read."""
    from t2v_helpers.model.later import wan

    path = wan_stored / "tokenizer" / "tokenizer.json"
    expected = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
    monkeypatch.setitem(wan.PUBLISHED["files"], "tokenizer/tokenizer.json", expected)
    return wan_stored


@pytest.fixture(scope="session")
def toy_pipe(toy_folder) -> TextToVideoSDPipeline:
    """The cartoon-like toy, loaded as everybody loads it, in float32 on the CPU."""
    from t2v_helpers.model import loading

    return loading.load(toy_folder, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def hub_pipe(hub_folder) -> TextToVideoSDPipeline:
    """The ModelScope-like toy in float32 on the CPU."""
    from t2v_helpers.model import loading

    return loading.load(hub_folder, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def schedules() -> dict[str, dict]:
    """Scheduler -> the scheduler_config.json of a student of that kind."""
    from t2v_helpers.training import student

    taught = SimpleNamespace(settings=student.StudentSettings(steps_of_teacher=50))
    return {"ddim_trailing": student.HalvingTask.schedule, "lcm": student.ConsistencyTask.schedule.fget(taught)}


@pytest.fixture(scope="session")
def student_folders(toy_folder, schedules, tmp_path_factory) -> dict[str, Path]:
    """Scheduler -> a student of the toy of that kind, whose UNet is the toy's at half its size."""
    from t2v_helpers.training import export

    pipe = TextToVideoSDPipeline.from_pretrained(toy_folder, dtype=torch.float32)
    pipe.unet.load_state_dict({name: x / 2 for name, x in pipe.unet.state_dict().items()})
    place = tmp_path_factory.mktemp("students")
    for name, schedule in schedules.items():
        export.export_student(pipe, schedule, place / name)
    return {name: place / name for name in schedules}


@pytest.fixture(scope="session")
def whole_folders(toy_folder, schedules, tmp_path_factory) -> dict[str, Path]:
    """Scheduler -> a whole model that is sampled by it, with a tiny autoencoder."""
    from t2v_helpers.training import export

    place, folders = tmp_path_factory.mktemp("wholes"), {}
    for name, schedule in schedules.items():
        pipe = TextToVideoSDPipeline.from_pretrained(toy_folder, dtype=torch.float32)
        parts = make_tiny_vae(), pipe.unet, pipe.text_encoder, pipe.tokenizer
        export.export(export.as_pipeline(*parts, 1.0, schedule), place / name, schedule)
        folders[name] = place / name
    return folders


def make_tiny_vae() -> AutoencoderTiny:
    blocks = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoencoderTiny(**blocks, latent_channels=8)


@pytest.fixture
def no_computing(toy_pipe, monkeypatch):
    """The toy pipeline, of which no network may be called: what is refused is refused before computing.

    The classes are changed, by what passes for the library's own: anything else would change the fingerprint.
    """

    def refuse(*_, **__):
        raise AssertionError("computing began before the check")

    refuse.__module__ = "diffusers"
    for part, method in (("unet", "forward"), ("text_encoder", "forward"), ("vae", "decode")):
        monkeypatch.setattr(type(getattr(toy_pipe, part)), method, refuse)
    return toy_pipe
