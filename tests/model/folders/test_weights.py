"""Which files a part is read from, and each way in which its config and its weights can be wrong."""

import json
import os
import shutil

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from t2v_helpers import metrics
from t2v_helpers.core import seeding
from t2v_helpers.model import folders
from t2v_helpers.model.later import wan_folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny autoencoder with drawn weights, as its class saves it."""
    folder = tmp_path_factory.mktemp("tiny")
    blocks = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    seeding.seeded(0, lambda: AutoencoderTiny(**blocks, latent_channels=8)).save_pretrained(folder)
    return folder


@pytest.fixture
def part(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "part")


KIND = folders.KINDS["AutoencoderTiny"]
STEM = "diffusion_pytorch_model"


def read(folder):
    return folders.read_alone(folder, KIND, torch.float32).state_dict()


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(x, two[key]) for key, x in one.items())


def halves(folder):
    """The weights in two files, by name, without the one that held them all."""
    whole = folder / f"{STEM}.safetensors"
    weights = load_file(whole)
    whole.unlink()
    names = sorted(weights)
    for i, some in enumerate((names[::2], names[1::2]), start=1):
        save_file({name: weights[name] for name in some}, folder / f"{STEM}-0000{i}-of-00002.safetensors")
    return weights


@pytest.mark.parametrize("target", ["w.bin", "../../outside.safetensors", f"{STEM}-00002-of-00002.safetensors"])
def test_an_index_leads_nowhere(part, target):
    weights = halves(part)
    (part / "w.bin").write_bytes(b"not to be opened")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, target)}
    (part / f"{STEM}.safetensors.index.json").write_text(json.dumps(index))
    assert same(read(part), weights)


def test_a_tensor_in_two_files_is_refused(part):
    weights = halves(part)
    save_file(weights, part / f"{STEM}.safetensors")
    with pytest.raises(ValueError, match="is in .* and again in"):
        read(part)


def test_files_of_other_names_are_left_alone(part):
    before = read(part)
    for name in (f"{STEM}.bin", f"{STEM}.old.safetensors", "model.safetensors", "adapter_config.json", "modeling.py"):
        (part / name).write_bytes(b"not to be opened")
    assert same(read(part), before)


@pytest.mark.parametrize("damage, said", [
    (lambda x: dict(list(x.items())[::2]), "is missing in the weights"),
    (lambda x: x | {"more": torch.ones(1)}, "no place for it"),
    (lambda x: x | {min(x): x[min(x)] * torch.nan}, "holds NaN or infinity"),
    (lambda x: x | {min(x): x[min(x)][:1]}, "has shape"),
    (lambda x: x | {min(x): x[min(x)].to(torch.int8)}, "is I8"),
])  # fmt: skip
def test_weights_that_are_not_whole_are_refused(part, damage, said):
    path = part / f"{STEM}.safetensors"
    save_file(damage(load_file(path)), path)
    with pytest.raises(ValueError, match=f"AutoencoderTiny: .*{said}"):
        read(part)


@pytest.mark.parametrize("name", ["config.json", f"{STEM}.safetensors"])
def test_a_link_out_of_the_folder_is_not_followed(part, tmp_path, name):
    (part / name).rename(tmp_path / "mine")
    (part / name).symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match=f"{name} is a link out of its folder"):
        read(part)


def test_weights_that_half_precision_cannot_hold_are_refused(part):
    path = part / f"{STEM}.safetensors"
    weights = load_file(path)
    save_file(weights | {min(weights): torch.full_like(weights[min(weights)], 1e30)}, path)
    read(part)
    with pytest.raises(ValueError, match="holds NaN or infinity in float16"):
        folders.read_alone(part, KIND, torch.float16)


def test_pickles_alone_are_refused(part):
    (part / f"{STEM}.safetensors").rename(part / f"{STEM}.bin")
    with pytest.raises(ValueError, match="pickles are not opened"):
        read(part)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("name", ["config.json", f"{STEM}.safetensors"])
def test_a_pipe_is_no_file(part, name):
    (part / name).unlink()
    os.mkfifo(part / name)
    with pytest.raises(ValueError, match="is not a file"):
        read(part)


DEEP = "[" * 200_000


@pytest.mark.parametrize(
    "text", ['"a text"', DEEP, '{"a":' * 40 + "1" + "}" * 40, "\0", "", "[]", '{"_class_name": 3}']
)
def test_a_config_of_something_else_is_refused(part, text):
    (part / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json .*: copy or download") as caught:
        read(part)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("key, value", [
    ("num_decoder_blocks", [10**9] * 4), ("num_decoder_blocks", [1]), ("latent_channels", -1), ("scaling_factor", None),
    ("latent_channels", 2**40), ("encoder_block_out_channels", [8, 8, 8, True]), ("act_fn", "swish"),
    ("upsample_fn", ["nearest"]), ("decoder_block_out_channels", "8888"),
])  # fmt: skip
def test_a_value_that_its_rule_does_not_allow_is_named(part, key, value):
    path = part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=f"config.json.* {key}="):
        read(part)


@pytest.mark.parametrize("coder", ["encoder", "decoder"])
def test_widths_that_do_not_fit_one_another_are_refused(tmp_path, coder):
    blocks = {f"{half}_block_out_channels": (8,) * 4 for half in ("encoder", "decoder")}
    blocks |= {f"{coder}_block_out_channels": (24, 16, 24, 24)}
    AutoencoderTiny(**blocks, latent_channels=8).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has a config that does not work .*channel dimensions.*: copy or download"):
        read(tmp_path)


def test_a_patch_above_the_picture_is_refused():
    config = folders.config_of(metrics.CARTOON, folders.KINDS["CLIPModel"])
    config["vision_config"] |= {"image_size": 32, "patch_size": 64}
    with pytest.raises(ValueError, match="CLIPModel has a config that does not work"):
        folders.bare(folders.KINDS["CLIPModel"], config)


def test_sizes_that_a_library_only_asserts_are_refused():
    config = {"attention_head_dim": 7, "in_channels": 4, "out_channels": 4, "text_dim": 8, "num_layers": 1}
    with pytest.raises(ValueError, match="WanTransformer3DModel has a config that does not work"):
        folders.bare(wan_folder.KIND_OF["transformer"], config)


def test_what_has_no_rule_reaches_no_library(tmp_path):
    shutil.copytree(metrics.CARTOON, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "config.json"
    hostile = {"auto_map": {"AutoModel": "x--y"}, "_attn_implementation": "some/kernel",
               "transformers_weights": "w.bin", "quantization_config": {"quant_method": "gptq"}}  # fmt: skip
    path.write_text(json.dumps(json.loads(path.read_text()) | hostile))
    model = folders.read_alone(tmp_path, folders.KINDS["CLIPModel"], torch.float32)
    assert same(model.state_dict(), metrics.load_clip().model.state_dict())
    assert not any(hasattr(model.config, key) for key in ("auto_map", "transformers_weights", "quantization_config"))
