"""The table behind notebook 07: resumes, is what it says, and its measures count what they name."""

import json

import pytest
import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon import sepia_word
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.model import generate, loading, lora
from t2v_helpers.studies import new_word
from t2v_helpers.training import finetune

FEW = {"STEPS": (0, 1, 2), "CLIPS": 2, "OLD": 2, "VIDEOS": 2}


@pytest.fixture
def pipe(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


@pytest.fixture
def small(monkeypatch):
    """A table that takes a second: `new_examples` and the others read their defaults when they are called."""
    monkeypatch.setattr(new_word, "RUNS", ({"rank": 2, "old": 0.5}, {"rank": 1, "old": 0.0}))
    monkeypatch.setattr(new_word, "ASKED", {"steps": 1, "frames": 2})
    for name, value in FEW.items():
        monkeypatch.setattr(new_word, name, value)


def test_it_is_made_resumes_and_leaves_the_model_as_it_was(small, pipe, tmp_path):
    before = {name: p.clone() for name, p in pipe.unet.named_parameters()}
    table = new_word.make(pipe, tmp_path / "table.jsonl", [0])
    first = table.read_text()
    new_word.make(pipe, table)
    lines = new_word.load(table)
    assert table.read_text().startswith(first) and [line["rank"] for line in lines] == [2, 1]
    assert lines[0]["found"]["0"] == lines[1]["found"]["0"]  # the untouched model
    assert all(list(line["found"]) == ["0", "1", "2"] for line in lines)
    assert all(len(line["found"]["2"][kind]) == 2 for line in lines for kind in ("new", "old"))
    assert lora.added(pipe.unet) == {} and not pipe.new_words
    assert all(torch.equal(p, before[name]) for name, p in pipe.unet.named_parameters())


def test_a_table_of_another_setting_is_refused(small, pipe, tmp_path, monkeypatch):
    table = new_word.make(pipe, tmp_path / "table.jsonl", [0])
    monkeypatch.setattr(new_word, "CLIPS", 3)
    with pytest.raises(ValueError, match="was measured with"):
        new_word.make(pipe, table)


def test_the_old_examples_are_what_the_model_makes(small, pipe):

    old = new_word.old_examples(pipe)
    caption = cartoon.item(new_word.OLD_STREAM, 1, frames=1).caption
    wanted = generate.generate(pipe, GenerationSpec(caption, seed=1, steps=1, frames=2)).frames
    assert (generate.decode_latents(pipe, old.latents[1:])[0] == wanted).all()
    torch.testing.assert_close(old.text[1:], finetune.read(pipe, [caption]))


def test_new_sentences_name_the_word_and_old_ones_do_not(small):
    for seed in range(5):
        caption, labels = new_word.new_prompt(seed)
        assert caption.endswith("in sepia style") and cartoon.parse(caption.removesuffix(" in sepia style")) == labels
        caption, labels = new_word.old_prompt(seed)
        assert sepia_word.WORD not in caption and cartoon.parse(caption) == labels


def test_labels_count_what_the_judge_reads():
    item = cartoon.item(5, 0, frames=16)
    assert new_word.labels(item.frames, item.labels) == "1111"
    other = next(x for x in cartoon.PLACES if x != item.labels.place)
    asked = cartoon.Labels(item.labels.subject, item.labels.action, other, item.labels.style)
    assert new_word.labels(item.frames, asked) == "1101"


def test_shares_count_what_they_name():
    found = [{"distance": sepia_word.LIMIT - 1, "labels": "1110"}, {"distance": sepia_word.LIMIT, "labels": "1111"}]
    assert (new_word.sepia(found).value, new_word.right(found).value, new_word.right(found, 3).value) == (0.5, 0.5, 1)
    assert isinstance(new_word.sepia(found), Measure) and new_word.sepia(found).n == 2


def test_the_command_prints_the_table(small, toy_folder, tmp_path, monkeypatch, capsys):
    load = loading.load
    monkeypatch.setattr(loading, "load", lambda name, **kwargs: load(toy_folder, device="cpu", dtype="float32"))
    assert new_word.main(["--table", str(tmp_path / "t.jsonl")]) == 0
    assert "rank 2, 50% old" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        new_word.main(["--table", str(tmp_path)])
    assert "is a folder" in capsys.readouterr().err


def test_the_committed_table_is_whole():
    head = json.loads(new_word.TABLE.read_text(encoding="utf-8").splitlines()[0])
    lines = new_word.load()
    assert head["limit"] == sepia_word.LIMIT and len(lines) == len(new_word.RUNS)
    for line, run in zip(lines, new_word.RUNS, strict=True):
        assert run.items() <= line.items() and list(line["found"]) == [str(n) for n in new_word.STEPS]
        assert all(len(at[kind]) == new_word.VIDEOS for at in line["found"].values() for kind in ("new", "old"))
