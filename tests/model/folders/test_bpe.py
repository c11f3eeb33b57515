"""bpe: tokenizers that are whole, and each way in which their files can be damaged."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from t2v_helpers import metrics
from t2v_helpers.course.dry_run import folder as dry_run
from t2v_helpers.model import folders, hub, loading

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
        tokens, merges = folders.vocabulary(folder)
        assert len(tokens) > len(merges) > 0


@pytest.mark.parametrize("size", [514, 600, 49408])
def test_tokenizers_of_a_dry_run_are_whole_in_the_files_of_then_and_of_today(tmp_path, size):
    for name, text in dry_run.built_tokenizer(size, hub.MODELSCOPE_SHAPES).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    folders.vocabulary(tmp_path)
    CLIPTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "today")
    assert [path.name for path in sorted((tmp_path / "today").iterdir())] == ["tokenizer.json", "tokenizer_config.json"]
    folders.vocabulary(tmp_path / "today")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="tokenizer.json cannot be read .*not a file"):
        folders.vocabulary(tmp_path)


def test_numbers_with_a_gap_are_refused(small):
    (small / "vocab.json").write_text(json.dumps(VOCABULARY | {"a": 9}))
    with pytest.raises(ValueError, match="vocab.json holds no vocabulary .*numbered from 0"):
        folders.vocabulary(small)


def test_a_special_token_that_the_vocabulary_lacks_is_refused(small):
    (small / "tokenizer_config.json").write_text(json.dumps(CONFIG | {"pad_token": "!"}))
    with pytest.raises(ValueError, match="special token '!'"):
        folders.tokenizer(small, 77)


@pytest.mark.parametrize("which", ["toy", "hub", "cartoon", "clip"])
def test_a_tokenizer_reads_any_text_as_the_library_reads_it(toy_folder, hub_folder, which):
    models = {"toy": toy_folder, "hub": hub_folder, "cartoon": loading.CARTOON}
    folder = models[which] / "tokenizer" if which in models else metrics.CARTOON
    ours, theirs = folders.tokenizer(folder, 77), CLIPTokenizer.from_pretrained(folder)
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
    assert folders.vocabulary(small)[0] == vocabulary


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
        folders.vocabulary(small)
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
        folders.vocabulary(tmp_path)


def test_merges_may_be_texts(tmp_path):
    merges = [line for line in MERGES.splitlines() if not line.startswith("#")]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": VOCABULARY, "merges": merges}}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(CONFIG))
    assert folders.vocabulary(tmp_path)[1] == [("a", "b</w>"), ("a", "ab</w>")]
