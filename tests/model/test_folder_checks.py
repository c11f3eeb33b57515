"""folder_checks: tokenizers that are whole, and each way in which their files can be damaged."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from t2v_helpers import metrics
from t2v_helpers.core import seeding
from t2v_helpers.course.dry_run import folder as dry_run
from t2v_helpers.model import folder_checks, hub, loading

VOCABULARY = {"a": 0, "b": 1, "b</w>": 2, "ab</w>": 3, "aab</w>": 4, "<s>": 5, "<|endoftext|>": 6}
MERGES = "#version: 0.2\na b</w>\na ab</w>\n"
CONFIG = {"bos_token": {"content": "<s>"}, "eos_token": "<|endoftext|>", "model_max_length": 77, "pad_token": None}


@pytest.fixture
def small(tmp_path):
    """A tokenizer of two letters, in the files of 2023."""
    (tmp_path / "vocab.json").write_text(json.dumps(VOCABULARY))
    (tmp_path / "merges.txt").write_text(MERGES)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def test_tokenizers_that_are_whole(small, toy_folder, hub_folder):
    for folder in (small, loading.CARTOON / "tokenizer", toy_folder / "tokenizer", hub_folder / "tokenizer"):
        folder_checks.vocabulary(folder)


@pytest.mark.parametrize("size", [514, 600, 49408])
def test_tokenizers_of_a_dry_run_are_whole_in_the_files_of_then_and_of_today(tmp_path, size):
    for name, text in dry_run.built_tokenizer(size, hub.MODELSCOPE_SHAPES).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    folder_checks.vocabulary(tmp_path)
    CLIPTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "today")
    assert [path.name for path in sorted((tmp_path / "today").iterdir())] == ["tokenizer.json", "tokenizer_config.json"]
    folder_checks.vocabulary(tmp_path / "today")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="tokenizer.json cannot be read .*not a file"):
        folder_checks.vocabulary(tmp_path)


def test_numbers_with_a_gap_are_refused(small):
    (small / "vocab.json").write_text(json.dumps(VOCABULARY | {"a": 9}))
    with pytest.raises(ValueError, match="vocab.json holds no vocabulary .*numbered from 0"):
        folder_checks.vocabulary(small)


def test_a_special_token_that_the_vocabulary_lacks_is_refused(small):
    (small / "tokenizer_config.json").write_text(json.dumps(CONFIG | {"pad_token": "!"}))
    with pytest.raises(ValueError, match="special token '!'"):
        folder_checks.tokenizer(small, 77)


@pytest.mark.parametrize("which", ["toy", "hub", "cartoon", "clip"])
def test_a_tokenizer_reads_any_text_as_the_library_reads_it(toy_folder, hub_folder, which):
    folders = {"toy": toy_folder, "hub": hub_folder, "cartoon": loading.CARTOON}
    folder = folders[which] / "tokenizer" if which in folders else metrics.CARTOON
    ours, theirs = folder_checks.tokenizer(folder, 77), CLIPTokenizer.from_pretrained(folder)
    assert (ours.pad_token, ours.model_max_length) == (theirs.pad_token, theirs.model_max_length)
    for text in (
        "",
        "a Dog's \tdancing  in 12 E\u0301t\u00e9s",
        "<|endoftext|> A <|startoftext|>x",
        "\U0001f642\u202e,.!?",
    ):
        words = {"padding": "max_length", "truncation": True}
        assert ours(text, **words).data == theirs(text, **words).data


def test_the_two_marks_of_clip_need_no_config(small):
    (small / "tokenizer_config.json").unlink()
    vocabulary = {("<|startoftext|>" if token == "<s>" else token): i for token, i in VOCABULARY.items()}
    (small / "vocab.json").write_text(json.dumps(vocabulary))
    folder_checks.vocabulary(small)


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("vocab.json", "{", "vocab.json cannot be read"),
        ("vocab.json", "\udcff", "vocab.json cannot be read"),
        ("vocab.json", None, "vocab.json cannot be read"),
        ("vocab.json", "{}", "vocab.json holds no vocabulary"),
        ("vocab.json", "[1]", "vocab.json .*holds a list"),
        ("vocab.json", '{"a": "b"}', "vocab.json holds no vocabulary"),
        ("vocab.json", '{"a": true}', "vocab.json holds no vocabulary"),
        ("vocab.json", json.dumps(VOCABULARY | {"abb": 7}), "merges.txt is cut short: 1 tokens, such as 'abb'"),
        ("merges.txt", "zzz", "merges.txt has the merge 'zzz', which does not join two tokens"),
        ("merges.txt", MERGES + "b a\n", "merges.txt has the merge 'b a', which does not join two tokens"),
        ("merges.txt", MERGES + "a a b\n", "merges.txt has the merge 'a a b', which does not join two tokens"),
        ("merges.txt", "<html><p>log in</p></html>", "merges.txt has the merge '<html><p>log in"),
        ("merges.txt", "", "merges.txt is cut short: 2 tokens, such as 'aab</w>'"),
        ("merges.txt", MERGES[:-10], "merges.txt is cut short: 1 tokens, such as 'aab</w>'"),
        ("merges.txt", None, "merges.txt cannot be read"),
        ("tokenizer_config.json", "{", "tokenizer_config.json cannot be read"),
        ("tokenizer_config.json", "{}", "merges.txt is cut short: 1 tokens, such as '<s>'"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json .*holds a list"),
    ],
)
def test_damage_to_the_files_of_2023(small, name, text, said):
    (small / name).unlink()
    if text is not None:
        (small / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=said) as caught:
        folder_checks.vocabulary(small)
    assert str(small) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda found: [], "tokenizer.json .*holds a list"),
        (lambda found: {"model": 3}, "tokenizer.json holds no vocabulary with merges"),
        (lambda found: found | {"model": found["model"] | {"merges": 5}}, "holds no vocabulary with merges"),
        (lambda found: found | {"model": found["model"] | {"merges": [5]}}, "holds no vocabulary with merges"),
        (lambda found: found | {"model": found["model"] | {"merges": [[5, 6]]}}, "has the merge .5 6."),
        (lambda found: found | {"model": found["model"] | {"vocab": {}}}, "tokenizer.json holds no vocabulary"),
        (lambda found: found | {"model": found["model"] | {"merges": found["model"]["merges"][:50]}},
         "tokenizer.json is cut short: .* tokens"),
    ],
)  # fmt: skip
def test_damage_to_the_file_of_today(tmp_path, change, said):
    shutil.copytree(loading.CARTOON / "tokenizer", tmp_path, dirs_exist_ok=True)
    path = Path(tmp_path, "tokenizer.json")
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))))
    with pytest.raises(ValueError, match=said):
        folder_checks.vocabulary(tmp_path)


def test_merges_may_be_texts(tmp_path):
    merges = [line for line in MERGES.splitlines() if not line.startswith("#")]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": VOCABULARY, "merges": merges}}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(CONFIG))
    assert folder_checks.vocabulary(tmp_path)[1] == [("a", "b</w>"), ("a", "ab</w>")]


# --- the door: which files a part is read from


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


KIND = folder_checks.KINDS["AutoencoderTiny"]
STEM = "diffusion_pytorch_model"


def read(folder):
    return folder_checks.read_alone(folder, KIND, torch.float32).state_dict()


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
        folder_checks.read_alone(part, KIND, torch.float16)


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


def test_what_has_no_rule_reaches_no_library(tmp_path):
    shutil.copytree(metrics.CARTOON, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "config.json"
    hostile = {"auto_map": {"AutoModel": "x--y"}, "_attn_implementation": "some/kernel",
               "transformers_weights": "w.bin", "quantization_config": {"quant_method": "gptq"}}  # fmt: skip
    path.write_text(json.dumps(json.loads(path.read_text()) | hostile))
    model = folder_checks.read_alone(tmp_path, folder_checks.KINDS["CLIPModel"], torch.float32)
    assert same(model.state_dict(), metrics.load_clip().model.state_dict())
    assert not any(hasattr(model.config, key) for key in ("auto_map", "transformers_weights", "quantization_config"))
