"""Ten thousand hostile inputs: each ends in one sentence before anything is computed, or does what was asked.

Texts, configs, headers and folders are changed from real ones by hypothesis, always the same way. A part that is read
must be whole: finite, of the shapes of its config, and equal to what its files hold.
"""

import contextlib
import io
import json
import math
import os
import shutil
import stat
import struct
import warnings
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from peft.helpers import rescale_adapter_scale
from safetensors.torch import load_file, save, save_file

from t2v_helpers import cli, metrics
from t2v_helpers.core import checking, files, seeding, tensors, video
from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.course import run
from t2v_helpers.inside import unet_config
from t2v_helpers.metrics import clip_scores
from t2v_helpers.model import folders, loading, lora, pipeline, swapping, sweep, validation
from t2v_helpers.model.folders import KINDS, bpe, lora_config, manifests
from t2v_helpers.model.generate import generate
from t2v_helpers.model.later import wan_folder

CASES = {  # of each test below
    "texts": 2500, "configs": 2500, "headers": 1500, "tokenizers": 700, "parts": 150, "loras": 500, "specs": 1000,
    "arguments": 800, "paths": 400, "pixels": 300, "lines": 200, "commands": 150, "loads": 100, "pipelines": 20,
    "clips": 40, "sizes": 60, "sweeps": 30,
}  # fmt: skip
REFUSALS = (ValueError, MemoryError, OSError, FileNotFoundError, FileExistsError, IsADirectoryError,
            NotADirectoryError, PermissionError)  # fmt: skip
SPEC = GenerationSpec("a robot is dancing", steps=1, frames=1, height=16, width=16)
RECORD = GenerationRecord(replace(SPEC, guidance=4.0), "cartoon", "float32", "cpu", {"torch": "2"}, 1.5, 1.0, "0" * 64)


def test_there_are_ten_thousand():
    assert sum(CASES.values()) >= 10_000


HOSTILE = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def hostile(name):
    """hypothesis's settings: as often as CASES says, and the same each time."""
    return settings(HOSTILE, max_examples=CASES[name])


def ends_well(call):
    """What `call` returns, or None where it is refused in one sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return call()
        except REFUSALS as error:
            text = str(error)
            assert type(error) in REFUSALS, f"{type(error).__name__} is no refusal of ours: {error}"
            assert text.strip() and len(text.splitlines()) == 1 and len(text) < 2500, text[:300]
            assert "[Errno" not in text, text


NUMBERS = st.sampled_from(
    [0, -1, 1, 2, 7, 10**9, 2**62, 2**63, -(2**70), 10**30, 10**400, 10**4000, 0.5, -0.0, 1e308, math.inf, math.nan,
     True]
)  # fmt: skip
SCALARS = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.text(max_size=8), st.sampled_from(["../x", "a" * 10_000, "\ud800"])
)
VALUES = st.recursive(SCALARS, lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=4), x, max_size=3))
BROKEN = st.sampled_from(
    ["", "{", "[]", '"text"', "null", "[" * 100_000, '{"a":' * 60 + "1" + "}" * 60, "\x00", "NaN", "1" * 5000]
)


def keys(table):
    """Every way to a value in a table of tables."""
    inner = [(key, *rest) for key, value in table.items() if isinstance(value, dict) for rest in keys(value)]
    return [*((key,) for key in table), *inner]


def changed(table, way, value):
    """The table with another value there; `...` leaves the key out."""
    copy = json.loads(json.dumps(table))
    place = copy
    for key in way[:-1]:
        place = place[key]
    place.pop(way[-1], None)
    if value is not ...:
        place[way[-1]] = value
    return copy


def changes(table, extra=("more",)):
    ways = st.sampled_from([*keys(table), *((key,) for key in extra)])
    one = st.tuples(ways, VALUES | st.just(...))
    return one.map(lambda change: changed(table, *change))


def texts(table, extra=("more",)):
    """JSON texts like that of `table`: with another value, cut short, or of something else."""
    text = changes(table, extra).map(json.dumps)
    return text | BROKEN | st.tuples(text, st.integers(0, 400)).map(lambda both: both[0][: both[1]])


# --- texts


MANIFEST = {"files": {"a": {"bytes": 1, "sha256": "0" * 64}}}
NAMES = st.sampled_from(["a" * 10_000, "a/" * 3000, "a\0b", "\ud800", "a\nb", "\u202eb", "..", ".", "", "/", "~", "\\"])


def listing(name):
    return json.dumps({"files": {name: MANIFEST["files"]["a"]}})


@hostile("texts")
@given(text=texts(asdict(RECORD)) | texts(MANIFEST) | NAMES.map(listing), which=st.integers(0, 4))
def test_texts(tmp_path_factory, text, which):
    place = text_place(tmp_path_factory)
    data = text.encode(errors="surrogatepass")
    read = (
        GenerationRecord.from_json,
        GenerationRecord.load,
        manifests.check,
        pipeline.words,
        files.read_json,
    )
    path = place / {2: "manifest.json", 3: "words.json"}.get(which, "dog.json")
    path.write_bytes(data)
    given_to = {0: text, 2: place, 3: place}.get(which, path)
    found = ends_well(lambda: read[which](given_to))
    if isinstance(found, GenerationRecord):
        assert GenerationRecord.from_json(found.to_json()) == found


def text_place(factory, kept={}):  # noqa: B006  one folder for all examples
    return kept.setdefault(0, factory.mktemp("texts"))


# --- configs


CONFIGS = {
    "AutoencoderTiny": {"_class_name": "AutoencoderTiny", "latent_channels": 8, "num_decoder_blocks": [1] * 4,
                        "num_encoder_blocks": [1] * 4, "encoder_block_out_channels": [8] * 4, "scaling_factor": 1.0,
                        "decoder_block_out_channels": [8] * 4, "act_fn": "relu", "upsample_fn": "nearest"},
    "AutoencoderKL": {"_class_name": "AutoencoderKL", "block_out_channels": [8] * 4, "latent_channels": 8,
                      "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
                      "layers_per_block": 1, "norm_num_groups": 4, "scaling_factor": 0.2, "in_channels": 3},
    "CLIPTextModel": {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
                      "vocab_size": 9, "max_position_embeddings": 5, "hidden_act": "gelu", "eos_token_id": 2},
    "CLIPModel": {"projection_dim": 8, "text_config": {"hidden_size": 8, "intermediate_size": 8, "vocab_size": 9,
                  "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 5}, "vision_config": {
                  "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
                  "image_size": 8, "patch_size": 8}},
    "UNet3DConditionModel": {
        "_class_name": "UNet3DConditionModel", "sample_size": 8, "in_channels": 4, "out_channels": 4,
        "block_out_channels": [8], "down_block_types": ["DownBlock3D"], "up_block_types": ["UpBlock3D"],
        "layers_per_block": 1, "norm_num_groups": 4, "cross_attention_dim": 8, "attention_head_dim": 4,
        "act_fn": "silu", "norm_eps": 1e-5},
    "UMT5EncoderModel": {"vocab_size": 9, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2,
                         "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6},
    "WanTransformer3DModel": {
        "_class_name": "WanTransformer3DModel", "patch_size": [1, 2, 2], "num_attention_heads": 2, "num_layers": 1,
        "attention_head_dim": 12, "in_channels": 4, "out_channels": 4, "text_dim": 8, "freq_dim": 8, "ffn_dim": 8,
        "rope_max_seq_len": 8},
    "AutoencoderKLWan": {"_class_name": "AutoencoderKLWan", "base_dim": 4, "z_dim": 4, "dim_mult": [1] * 4,
                         "num_res_blocks": 1, "attn_scales": [], "temperal_downsample": [False, True, True],
                         "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4},
}  # fmt: skip
OF_ALL = KINDS | {kind.name: kind for kind in wan_folder.KIND_OF.values()}
NOT_SIZES = ("latents_mean", "text_config", "vision_config")  # of any sign; picked as it is built
STRANGE = ("auto_map", "quantization_config", "_attn_implementation", "transformers_weights", "torch_dtype")


@hostile("configs")
@given(data=st.data(), name=st.sampled_from(sorted(CONFIGS)))
def test_configs(data, name):
    config = data.draw(changes(CONFIGS[name], STRANGE))
    known = ends_well(lambda: folders.known(config, OF_ALL[name], "config.json"))
    if known is not None:
        assert known.keys() <= OF_ALL[name].rules.keys()
        assert all(0 <= size <= 2**20 for size in sizes(known | dict.fromkeys(NOT_SIZES)))
        assert max(depths(known), default=1) <= 100
        small = math.prod(max(1, size) for size in sizes(known)) < 10**9
        if small and config != CONFIGS[name] and data.draw(st.integers(0, 9)) == 0:
            ends_well(lambda: folders.bare(OF_ALL[name], known))


def sizes(value):
    if isinstance(value, dict | list | tuple):
        return [size for one in (value.values() if isinstance(value, dict) else value) for size in sizes(one)]
    return [value] if type(value) is int else []


def depths(config):
    return [depth for key, value in config.items() if "layers" in key or "blocks" in key for depth in sizes([value])]


SIDES = st.lists(st.sampled_from([8, 16, 24]), min_size=4, max_size=4)


@hostile("sizes")
@given(encoder=SIDES, decoder=SIDES, side=st.sampled_from([1, 2, 8, 9]), patch=st.sampled_from([1, 2, 8, 9]))
def test_sizes(encoder, decoder, side, patch):
    """Each size is allowed, but they may not fit one another: a part that is built can compute."""
    widths = {"encoder_block_out_channels": encoder, "decoder_block_out_channels": decoder}
    coder = ends_well(lambda: folders.bare(KINDS["AutoencoderTiny"], {"latent_channels": 8} | widths))
    assert (coder is None) == (len({*encoder}) > 1 or len({*decoder}) > 1)
    config = changed(CONFIGS["CLIPModel"], ("vision_config",), CONFIGS["CLIPModel"]["vision_config"]
                     | {"image_size": side, "patch_size": patch})  # fmt: skip
    assert (ends_well(lambda: folders.bare(KINDS["CLIPModel"], config)) is None) == (patch > side)


@hostile("clips")
@given(text=texts(json.loads((metrics.CARTOON / "processor_config.json").read_text())))
def test_clips(tmp_path_factory, text):
    place = text_place(tmp_path_factory) / "clip"
    if not place.exists():
        shutil.copytree(metrics.CARTOON, place)
    (place / "processor_config.json").write_bytes(text.encode(errors="surrogatepass"))
    clip = ends_well(lambda: clip_scores._read_clip.__wrapped__(place))
    assert clip is None or clip.of_frames(np.zeros((1, 20, 30, 3), np.uint8)).isfinite().all()


# --- headers of weights


WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}
BYTES = save(WEIGHTS, {"format": "pt"})
HEADER = json.loads(BYTES[8 : 8 + struct.unpack("<Q", BYTES[:8])[0]])
SHAPES = st.lists(NUMBERS, max_size=4) | st.sampled_from([[0, 2**63], [2**62, 0, 2**62], [0] * 5000])
DTYPES = ["F32", "F16", "I8", "F8_E4M3", "F64", "BOOL", "Q4", 3]


def with_header(text):
    header = text.encode(errors="replace")
    return struct.pack("<Q", len(header)) + header + BYTES[-32:]


def with_a_shape(sides):
    """A tensor without a byte of data, of which a header may say anything."""
    return with_header(json.dumps({"c": {"dtype": "F32", "shape": sides, "data_offsets": [0, 0]}} | HEADER))


def with_a_tensor(name):
    return save(WEIGHTS | {name.encode(errors="replace").decode(): torch.ones(1)})


@hostile("headers")
@given(
    data=texts(HEADER).map(with_header)
    | st.tuples(st.sampled_from(DTYPES), st.sampled_from(["a", "b"])).map(
        lambda both: with_header(json.dumps(changed(HEADER, (both[1], "dtype"), both[0])))
    )
    | st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)).map(
        lambda both: BYTES[: both[0]] + bytes([both[1]]) + BYTES[both[0] + 1 :]
    )
    | st.integers(0, len(BYTES)).map(lambda cut: BYTES[:cut])
    | NAMES.map(with_a_tensor)
    | SHAPES.map(with_a_shape)
    | st.binary(max_size=40)
)
def test_headers(tmp_path_factory, data):
    path = text_place(tmp_path_factory) / "w.safetensors"
    path.unlink(missing_ok=True)  # a file that is mapped into memory is never written over
    path.write_bytes(data)
    ends_well(lambda: tensors.read([path]))
    found = ends_well(lambda: tensors.read([path], WEIGHTS, torch.float32))
    if found is not None:
        assert found.keys() == WEIGHTS.keys() and all(x.isfinite().all() for x in found.values())
        assert all(x.shape == WEIGHTS[name].shape for name, x in found.items())
    ends_well(lambda: tensors.about(path))


# --- tokenizers


VOCABULARY = {"a": 0, "b": 1, "b</w>": 2, "ab</w>": 3, "aab</w>": 4, "<|startoftext|>": 5, "<|endoftext|>": 6}
MERGES = "#version: 0.2\na b</w>\na ab</w>\n"
TODAY = {"normalizer": {"type": "Lowercase"}, "added_tokens": [], "pre_tokenizer": {"type": "ByteLevel"},
         "model": {"type": "BPE", "vocab": VOCABULARY, "merges": [["a", "b</w>"], ["a", "ab</w>"]]}}  # fmt: skip
SETTINGS = {"model_max_length": 77, "pad_token": "<|endoftext|>", "bos_token": {"content": "<|startoftext|>"}}


@hostile("tokenizers")
@given(data=st.data(), old=st.booleans())
def test_tokenizers(tmp_path_factory, data, old):
    place = text_place(tmp_path_factory) / "tokenizer"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    whole = {"tokenizer_config.json": json.dumps(SETTINGS)} | (
        {"vocab.json": json.dumps(VOCABULARY), "merges.txt": MERGES} if old else {"tokenizer.json": json.dumps(TODAY)}
    )
    tables = {"vocab.json": VOCABULARY, "tokenizer.json": TODAY, "tokenizer_config.json": SETTINGS}
    name = data.draw(st.sampled_from(sorted(whole)))
    whole[name] = data.draw(
        texts(tables[name], ("auto_map", "unk_token")) if name in tables else st.text("ab</w> \n#", max_size=30)
    )
    for name, text in whole.items():
        (place / name).write_bytes(text.encode(errors="surrogatepass"))
    made = ends_well(lambda: folders.tokenizer(place, 77))
    if made is not None:
        assert len(made) == len(VOCABULARY) and made("aab b").input_ids[1:-1] == [4, 2]


# --- folders of parts


INDEX = {"metadata": {}, "weight_map": {"encoder.layers.0.weight": "w.bin"}}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    config = {key: value for key, value in CONFIGS["AutoencoderTiny"].items() if key[0] != "_"}
    seeding.seeded(0, lambda: AutoencoderTiny(**config)).save_pretrained(folder)
    return SimpleNamespace(folder=folder, weights=load_file(folder / f"{STEM}.safetensors"))


STEM = "diffusion_pytorch_model"
DAMAGES = (
    "config", "a text for a config", "index", "index to a pickle", "index outside", "split", "half", "nan", "int8",
    "link", "link outside", "a circle of links", "only a pickle", "more", "twice", "a code file",
    *(["pipe"] if hasattr(os, "mkfifo") else []),
)  # fmt: skip
HARMLESS = ("index", "index to a pickle", "index outside", "split", "a code file")  # the part is all there


@hostile("parts")
@given(data=st.data(), damage=st.sampled_from(DAMAGES))
def test_parts(tiny, tmp_path_factory, data, damage):
    place = text_place(tmp_path_factory) / "part"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(tiny.folder, place)
    damaged(place, tiny.weights, damage, data)
    made = ends_well(lambda: folders.read_alone(place, KINDS["AutoencoderTiny"], torch.float32))
    if made is not None:
        found = made.state_dict()
        assert found.keys() == tiny.weights.keys()
        assert all(torch.equal(found[name], x) for name, x in tiny.weights.items())
    assert damage == "config" or (made is not None) == (damage in HARMLESS)


def damaged(place, weights, damage, data):
    whole, first = place / f"{STEM}.safetensors", data.draw(st.sampled_from(sorted(weights)))
    shard = place / f"{STEM}-00001-of-00001.safetensors"
    rest = {name: x for name, x in weights.items() if name != first}
    zeros = {name: torch.zeros_like(x) for name, x in weights.items()}
    if damage == "config":
        table = json.loads((place / "config.json").read_text())
        text = data.draw(texts(table, STRANGE))
        (place / "config.json").write_bytes(text.encode(errors="surrogatepass"))
    elif damage == "a text for a config":
        (place / "config.json").write_text(json.dumps(data.draw(st.text(max_size=20))))
    elif damage == "index":
        text = data.draw(texts(INDEX))
        Path(f"{whole}.index.json").write_bytes(text.encode(errors="surrogatepass"))
    elif damage in ("index to a pickle", "index outside"):
        to = place / ("w.bin" if damage == "index to a pickle" else f"../../{STEM}.safetensors")
        torch.save(zeros, to) if to.suffix == ".bin" else save_file(zeros, to)
        index = {"metadata": {}, "weight_map": dict.fromkeys(weights, os.path.relpath(to, place))}
        Path(f"{whole}.index.json").write_text(json.dumps(index))
    elif damage == "only a pickle":
        whole.unlink()
        torch.save(weights, place / f"{STEM}.bin")
    elif damage == "link outside":
        save_file(zeros, place.parent / "zeros.safetensors")
        whole.unlink()
        whole.symlink_to(place.parent / "zeros.safetensors")
    elif damage == "pipe":
        path = data.draw(st.sampled_from([whole, place / "config.json"]))
        path.unlink()
        os.mkfifo(path)
    elif damage == "link":
        whole.unlink()
        whole.symlink_to(
            data.draw(st.sampled_from(["/dev/zero", "/dev/null", "nowhere", ".", "config.json", whole.name]))
        )
    elif damage == "a circle of links":
        (place / "config.json").unlink()
        (place / "config.json").symlink_to("config.json")
    elif damage == "a code file":
        (place / "modeling.py").write_text("raise SystemExit")
    else:
        others = {"nan": weights[first] * math.nan, "int8": weights[first].to(torch.int8)}
        kept = {"twice": weights, "more": weights | {"z": torch.ones(1)}}.get(damage, rest)
        save_file(kept | ({first: others[damage]} if damage in others else {}), whole)
        if damage in ("split", "twice"):
            save_file({first: weights[first]}, shard)


class PickleOpened(BaseException):
    """No `except Exception` of a library makes another error of it."""


@pytest.fixture(autouse=True)
def no_pickles(monkeypatch):
    def refuse(*_, **__):
        raise PickleOpened

    monkeypatch.setattr(torch, "load", refuse)


# --- LoRA


@pytest.fixture(scope="module")
def taught(toy_folder, tmp_path_factory):
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    lora.add(pipe, rank=2)
    folder = lora.save(pipe, tmp_path_factory.mktemp("lora") / "sepia", ["sepia"])
    lora.remove(pipe)
    weights, config = folder / lora.WEIGHTS, json.loads((folder / lora.CONFIG).read_text())
    stored = {"tensors": load_file(weights), "about": tensors.about(weights)}
    return SimpleNamespace(pipe=pipe, folder=folder, config=config, **stored)


PEFT = ("use_dora", "alpha_pattern", "rank_pattern", "layer_replication", "lora_bias", "modules_to_save", "new_setting")
RESCALED = st.sampled_from([{"use_rslora": True}, {"alpha_pattern": {"to_q": 9}}, {"rank_pattern": {"to_q": 1}},
                            {"r": 2, "lora_alpha": 5}])  # fmt: skip
RESCALED |= st.tuples(st.sampled_from(["r", "lora_alpha"]), NUMBERS).map(lambda both: dict([both]))


SPOILED = {
    "in int8": lambda x: x.to(torch.int8), "in float8": lambda x: x.to(torch.float8_e4m3fn), "flat": torch.flatten,
    "with NaN": lambda x: x * math.nan, "of another rank": lambda x: x[:1],
}  # fmt: skip


def norms(taught, number):
    """A header's list with the same norm for every layer."""
    return json.dumps([number] * len(json.loads(taught.about["base_norms"])))


@hostile("loras")
@given(data=st.data(), spoiled=st.just("") | st.sampled_from(sorted(SPOILED)))
def test_loras(taught, tmp_path_factory, data, spoiled):
    place = text_place(tmp_path_factory) / "lora"
    if not place.exists():
        shutil.copytree(taught.folder, place)
        (place / manifests.MANIFEST).unlink()
    text = data.draw(texts(taught.config, PEFT) | RESCALED.map(lambda some: json.dumps(taught.config | some)))
    (place / lora.CONFIG).write_bytes(text.encode(errors="surrogatepass"))
    first = data.draw(st.sampled_from(sorted(taught.tensors)))
    changed_one = {first: SPOILED[spoiled](taught.tensors[first]).contiguous()} if spoiled else {}
    about = taught.about | data.draw(st.just({}) | NUMBERS.map(lambda x: {"base_norms": norms(taught, x)}))
    (place / lora.WEIGHTS).unlink()
    save_file(taught.tensors | changed_one, place / lora.WEIGHTS, about)
    words = ends_well(lambda: lora.load(taught.pipe, place))
    if words is not None:
        read, scales = json.loads(text), {layer.scaling["lora"] for layer in lora.added(taught.pipe.unet).values()}
        wanted = read["lora_alpha"] / (math.sqrt(read["r"]) if read.get("use_rslora") else read["r"])
        lora.remove(taught.pipe)
        assert words == ("sepia",) and [*scales] == [pytest.approx(wanted)] and not spoiled
        assert not any(read.get(key) for key in PEFT) and about == taught.about
    assert lora.added(taught.pipe.unet) == {}


# --- what is asked


ODD_TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | st.sampled_from(
    ["(dog:1.3)", "do\u200bg", "\u202egod", "a\u0301\u0301\u0301", "<|endoftext|>", "dog " * 5000, "\x00", "\ud83d"]
)
ODD = {
    "steps": NUMBERS, "frames": NUMBERS, "height": NUMBERS, "width": NUMBERS, "seed": NUMBERS, "guidance": NUMBERS,
    "scheduler": st.sampled_from(["dpm++", "nope", "ddim\n", "DDIMScheduler", ""]), "prompt": ODD_TEXT | NUMBERS,
    "negative_prompt": ODD_TEXT,
}  # fmt: skip


@pytest.fixture(scope="module")
def idle(toy_folder):
    """A pipeline that may not compute."""
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")

    def refuse(*_):
        raise AssertionError("computing began before the check")

    for part in (pipe.unet, pipe.text_encoder, pipe.vae):
        part.register_forward_pre_hook(refuse)
    return pipe


@hostile("specs")
@given(asked=st.fixed_dictionaries({}, optional=ODD))
def test_specs(idle, asked):
    checked = ends_well(lambda: validation.check(idle, replace(SPEC, **asked)))
    assert checked is None or 1 <= checked.steps <= 1000


CHECKS = (
    lambda x: checking.whole("x", x, 1, 9), lambda x: checking.number("x", x, 0, 9), lambda x: seeding.check_seed(x),
    lambda x: checking.one_of("x", x, ("a", "b")), lambda x: loading.find(x), lambda x: validation.check(None, x),
    lambda x: lora.scaled(None, x).__enter__(), lambda x: sweep.expand(SPEC, steps=x),
    lambda x: metrics.clip_similarity(x, x), lambda x: metrics.load_clip(x),
)  # fmt: skip


@hostile("arguments")
@given(value=VALUES, check=st.sampled_from(CHECKS))
def test_arguments(value, check):
    ends_well(lambda: check(value))


def below(names):
    """A path that does not start at the root, where a picture would be written."""
    return "/".join(names).lstrip("/") or "x"


def below_all(folder):
    return set(folder.rglob("*"))


def picture(path):
    return video.write_png(np.zeros((2, 2, 3), np.uint8), path)


TAKE_PATHS = (
    files.check_target, files.read_json, manifests.check, files.is_folder, lambda x: files.existing(x, "look"),
    loading.find, loading.outline, lambda x: lora.words_for(None, "cartoon", x), GenerationRecord.load, video.read_mp4,
    picture, metrics.load_clip, cli._check_out,
    lambda x: swapping.read_part(AutoencoderTiny, x, torch.zeros(1)), lambda x: run.find_notebooks(x),
)  # fmt: skip


@hostile("paths")
@given(
    path=NAMES | st.text(max_size=20) | st.lists(NAMES | st.sampled_from(["a.png", "b"]), max_size=4).map(below),
    take=st.sampled_from(TAKE_PATHS),
)
def test_paths(tmp_path_factory, monkeypatch, path, take):
    place = text_place(tmp_path_factory) / "a" / "b" / "c" / "d"  # from which four steps up lead nowhere else
    place.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(place)
    before = below_all(place.parents[3])
    ends_well(lambda: take(path))
    left = below_all(place.parents[3]) - before
    assert not left or (take is picture and [one.suffix.lower() for one in left if one.is_file()] == [".png"])


@hostile("pixels")
@given(
    shape=st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 16]), max_size=6),
    dtype=st.sampled_from([np.uint8, np.float32, np.int64, bool, object]),
)
def test_pixels(shape, dtype):
    ends_well(lambda: checking.frames(np.zeros(shape, dtype)))


WORDS = st.sampled_from([
    "generate", "sweep", "world", "trace", "info", "run", "train", "--steps", "--prompt", "--json", "--seed", "-o",
    "--model", "--scheduler", "--lora", "--count", "nope", "0", "-1", "a dog", "", "x" * 10_000, "\ud800", "1e999",
    "../..", "9" * 5000,
])  # fmt: skip


def typed(line):
    """The status of a line that is typed; where it is 2, there is one sentence on stderr."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            status = cli.main(line)
        except SystemExit as ended:
            status = ended.code
    if status == 2:
        text = said.getvalue()
        assert text.startswith("t2v") and len(text.splitlines()) == 1 and len(text) < 1500, text
        assert "[Errno" not in text, text
    return status


@hostile("lines")
@given(line=st.lists(WORDS, min_size=1, max_size=6).filter(lambda line: line[0] not in ("info", "run", "train")))
def test_lines(line):
    """Lines that cannot be meant: there is always an option that no command has."""
    assert typed([*line, "--no-such-option"]) == 2


NUMBER_WORDS = st.sampled_from(
    ["0", "1", "2", "-1", "1.5", "nan", "inf", "1e999", "16", "17", "201", "9" * 5000, "\u0663", ""]
)
TYPED = {  # option -> what is typed
    **dict.fromkeys(("--steps", "--frames", "--height", "--width", "--guidance"), NUMBER_WORDS),
    "--scheduler": st.sampled_from(["ddim", "dpm++", "lcm", "nope", "", "\ud800"]), "--negative-prompt": ODD_TEXT,
    "--device": st.sampled_from(["cpu", "gpu", "cuda:99", ""]), "--dtype": st.sampled_from(["float32", "int8", ""]),
    "--model": st.sampled_from(["sora", "", "no/where", "a\0b", "x" * 10_000]),
}  # fmt: skip
MORE = {
    "generate": {"--seed": NUMBER_WORDS, "--memory": st.sampled_from(["lots", "0", "-1GiB", "1e999GiB", ""]),
                 "--lora": st.sampled_from(["no/where", ".", ""]),
                 "--out": st.sampled_from(["a.gif", "/dev/null/a.mp4"])},
    "sweep": {"--seeds": NUMBER_WORDS, "--batch": NUMBER_WORDS, "--out": st.sampled_from(["/dev/null", "/dev"])},
}  # fmt: skip


@hostile("commands")
@given(data=st.data(), command=st.sampled_from(sorted(MORE)))
def test_commands(idle, toy_folder, tmp_path_factory, monkeypatch, data, command):
    """What is refused is refused before the model is loaded: once it is there, computing begins."""
    loaded = []
    monkeypatch.setattr(loading, "_open", lambda *_: loaded.append(1) or idle)
    options = data.draw(st.fixed_dictionaries({}, optional=TYPED | MORE[command]))
    options = {"--out": str(tmp_path_factory.mktemp("out") / "a.mp4"), "--model": str(toy_folder)} | options
    prompt = data.draw(st.sampled_from(["a dog is dancing", "a unicorn", "a (dog:1.3)"]) | ODD_TEXT)
    words = ["--prompt", prompt] if command == "sweep" else [prompt]
    line = [command, *words, *(word for pair in options.items() for word in pair)]
    try:
        status = typed(line)
    except AssertionError as error:
        assert "computing began" in str(error)
    else:
        assert status == 2 and not loaded


# --- the whole way to a video


@hostile("pipelines")
@given(data=st.data())
def test_pipelines(toy_folder, toy_pipe, whole_folders, student_folders, tmp_path_factory, data):
    place = text_place(tmp_path_factory) / "toy"
    shutil.rmtree(place, ignore_errors=True)
    choices = toy_folder, *whole_folders.values(), *student_folders.values()
    shutil.copytree(data.draw(st.sampled_from(choices)), place)
    alone = not (place / folders.TEACHER).exists()
    (place / manifests.MANIFEST).unlink()
    path = data.draw(st.sampled_from(sorted(place.rglob("*.json"))))
    text = data.draw(texts(json.loads(path.read_text()), STRANGE))
    path.write_bytes(text.encode(errors="surrogatepass"))
    open_it = partial(loading.load, device="cpu", dtype="float32") if alone else partial(loading.with_student, toy_pipe)
    pipe = ends_well(lambda: open_it(place))
    if pipe is not None:
        made = ends_well(lambda: generate(pipe, SPEC))
        assert made is None or made.frames.shape == (1, 16, 16, 3)


@hostile("loads")
@given(data=st.data())
def test_loads(idle, toy_folder, tmp_path_factory, data):
    """The text of any file of JSON, in the one folder: all that a pipeline reads, but nothing is computed."""
    place = text_place(tmp_path_factory) / "loads"
    if not place.exists():
        shutil.copytree(toy_folder, place, ignore=shutil.ignore_patterns(manifests.MANIFEST))
    path = data.draw(st.sampled_from(sorted(place.rglob("*.json"))))
    kept = path.read_text()
    path.write_bytes(data.draw(texts(json.loads(kept), STRANGE)).encode(errors="surrogatepass"))
    pipe = ends_well(lambda: loading.load(place, device="cpu", dtype="float32"))
    path.write_text(kept)
    assert pipe is None or all(same_weights(getattr(pipe, part), getattr(idle, part)) for part in folders.PARTS)


def same_weights(one, two):
    found, expected = one.state_dict(), two.state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[name], x) for name, x in expected.items())


# --- the folder of a sweep


@pytest.fixture(scope="module")
def rescaled(toy_folder):
    """A pipeline with a LoRA that does something."""
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    for p in lora.add(pipe, rank=2):
        p.data += 0.1
    return pipe


OTHERS = st.sampled_from([{"weights": "0" * 16}, {"model": "toy"}, {"frames_sha256": 3}])


@hostile("sweeps")
@given(data=st.data(), scale=st.sampled_from([1, 1, 0.5]))
def test_sweeps(rescaled, tmp_path_factory, data, scale):
    """A folder is of this very sweep, scale of the LoRA and all, or it is refused; nothing in it is made again."""
    whole = text_place(tmp_path_factory) / f"swept {sweep.fingerprint(rescaled)}"
    if not whole.exists():
        sweep.run_sweep(rescaled, [SPEC], whole, quiet=True)
    place = whole.with_name("sweep")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    path = data.draw(st.sampled_from(sorted(path for path in place.iterdir() if path.name != sweep.TABLE)))
    path.write_bytes(data.draw(like(path)))
    with rescale_adapter_scale(rescaled.unet, scale):
        if ends_well(lambda: sweep.run_sweep(rescaled, [SPEC], place, quiet=True)):
            assert scale == 1 and same_sweep(place, whole)


def like(path):
    """Bytes like those of a file, or the same."""
    if path.suffix != ".json":
        return st.sampled_from([path.read_bytes(), path.read_bytes()[: path.stat().st_size // 2]])
    table = json.loads(path.read_text())
    text = st.just(path.read_text()) | OTHERS.map(lambda some: json.dumps(table | some)) | texts(table)
    return text.map(lambda text: text.encode(errors="surrogatepass"))


def same_sweep(one, two):
    """Whether two folders have the same videos; what a record says of seconds and the machine may differ."""
    records = [GenerationRecord.load(next(place.glob("*.mp4"))) for place in (one, two)]
    asked = [(record.spec, record.model, record.weights) for record in records]
    return asked[0] == asked[1] and all(
        (one / path.name).read_bytes() == path.read_bytes() for path in two.iterdir() if path.suffix in (".mp4", ".png")
    )


# --- the faults, put back


def nothing(*_, **__):
    return None


def by_the_library(folder, kind, dtype):
    """As it was: diffusers chooses the files, whatever was looked at before."""
    return AutoencoderTiny.from_pretrained(folder, torch_dtype=dtype).eval()


def by_the_index(folder, kind, variant):
    """As diffusers did until it refused such names."""
    named = json.loads((folder / f"{kind.stem}.safetensors.index.json").read_text())["weight_map"]
    return sorted({folder / name for name in named.values()})


def by_json_alone(text, kind=dict):
    return json.loads(text)


def by_python_alone(path):
    assert not stat.S_ISFIFO(os.stat(path).st_mode), "a pipe is waited for, and it never ends"
    return Path(path).read_text(encoding="utf-8")


LIBRARY = folders, "read_alone", by_the_library
CLASSES = st.sampled_from(sorted(CONFIGS))
UNUSED = lora_config.UNUSED
LIMITLESS = lora_config.RULES | {"r": (lambda x: type(x) is int and x > 0, "a whole number")}
DEEP, LONG = {"text": texts(MANIFEST), "which": st.just(4)}, {"text": NAMES.map(listing), "which": st.just(2)}
FAULTS = {  # what goes wrong: what is put back, the test that finds it, and what it is given
    "an index leads to a pickle": (LIBRARY, "test_parts", "index to a pickle"),
    "a folder has a pickle alone": (LIBRARY, "test_parts", "only a pickle"),
    "an index leads outside": ((folders.weights, "files_of", by_the_index), "test_parts", "index outside"),
    "a tensor is in another file": (LIBRARY, "test_parts", "split"),
    "a config is a text": (LIBRARY, "test_parts", "a text for a config"),
    "a link leads outside": ((tensors, "check_link", nothing), "test_parts", "link outside"),
    "a pipe never ends": ((files, "read_text", by_python_alone), "test_parts", "pipe"),
    "weights are NaN": ((tensors, "_finite", lambda name, x: x), "test_parts", "nan"),
    "half of the tensors are missing": ((tensors, "check", nothing), "test_parts", "half"),
    "whole numbers pass for weights": ((tensors, "FLOATS", ("F32", "I8")), "test_parts", "int8"),
    "JSON is deep": ((files, "parse_json", by_json_alone), "test_texts", DEEP),
    "use_rslora is not read": ((lora_config, "alpha", lambda config: config["lora_alpha"]), "test_loras", None),
    "alpha_pattern is passed over": ((lora_config, "UNUSED", ("alpha_pattern", *UNUSED)), "test_loras", None),
    "a LoRA's rank has no limit": ((lora_config, "RULES", LIMITLESS), "test_loras", None),
    "a norm has no limit": ((lora, "NORM", (lambda x: isinstance(x, int | float), "a number")), "test_loras", None),
    "a LoRA is in int8": ((tensors, "FLOATS", (*tensors.FLOATS, "I8")), "test_loras", "in int8"),
    "a LoRA holds NaN": ((tensors, "_finite", lambda name, x: x), "test_loras", "with NaN"),
    "a LoRA's rank is another": ((tensors, "check", nothing), "test_loras", "of another rank"),
    "a LoRA is of another model": ((lora, "_check_base", nothing), "test_loras", None),
    "a LoRA is in float8": ((tensors, "FLOATS", (*tensors.FLOATS, "F8_E4M3")), "test_loras", "in float8"),
    "a config's numbers have no limits": ((unet_config, "check", nothing), "test_configs", None),
    "a name is too long": ((files, "is_file", Path.is_file), "test_texts", LONG),
    "a link leads to itself": ((files, "real", Path.resolve), "test_parts", "a circle of links"),
    "a tensor's name breaks the line": ((tensors, "named", str), "test_headers", NAMES.map(with_a_tensor)),
    "a tensor of no bytes has any size": ((tensors, "_check_kind", nothing), "test_headers", SHAPES.map(with_a_shape)),
    "a part is built that cannot compute": ((folders.weights, "_try", nothing), "test_sizes", None),
    "merges are cut short": ((bpe, "_check_merges", nothing), "test_tokenizers", None),
    "a model is loaded first": ((validation, "check_early", nothing), "test_commands", "generate"),
    "a sweep loads a model first": ((sweep, "check_early", nothing), "test_commands", "sweep"),
    "a LoRA's scale is not told": ((sweep, "fingerprint", lambda pipe: "0" * 16), "test_sweeps", None),
    "a sweep's records are not read": ((sweep, "_check_done", nothing), "test_sweeps", None),
    "a sweep's videos are not looked at": ((video, "is_whole", lambda path: True), "test_sweeps", None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_is_put_back_is_found(
    tiny, taught, idle, rescaled, toy_folder, tmp_path_factory, monkeypatch, fault
):
    """By the same generator with the same checks, in a hundred tries."""
    put_back, test, damage = FAULTS[fault]
    there = {"tmp_path_factory": tmp_path_factory}
    given_to, drawn = {
        "test_parts": (there | {"tiny": tiny}, {"data": st.data(), "damage": st.just(damage)}),
        "test_loras": (there | {"taught": taught}, {"data": st.data(), "spoiled": st.just(damage or "")}),
        "test_texts": (there, damage),
        "test_headers": (there, {"data": damage}),
        "test_configs": ({}, {"data": st.data(), "name": CLASSES}),
        "test_sizes": ({}, {"encoder": SIDES, "decoder": SIDES, "side": st.just(8), "patch": st.just(8)}),
        "test_commands": (there | {"idle": idle, "toy_folder": toy_folder, "monkeypatch": monkeypatch},
                          {"data": st.data(), "command": st.just(damage)}),
        "test_tokenizers": (there, {"data": st.data(), "old": st.booleans()}),
        "test_sweeps": (there | {"rescaled": rescaled}, {"data": st.data(), "scale": st.sampled_from([1, 1, 0.5])}),
    }[test]  # fmt: skip
    body = globals()[test].hypothesis.inner_test
    once = given(**drawn)(lambda **one: body(**given_to, **one))
    monkeypatch.setattr(*put_back)
    with pytest.raises(
        (AssertionError, PickleOpened, OSError, LookupError, RuntimeError, AttributeError, TypeError, OverflowError)
    ) as caught:
        settings(HOSTILE, max_examples=100, phases=[Phase.generate])(once)()
    assert (caught.type is PickleOpened) == ("pickle" in fault)
    if lora.added(taught.pipe.unet):
        lora.remove(taught.pipe)
