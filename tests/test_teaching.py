"""The table behind notebook 07: resumes, is what it says, and its measures count what they name."""

import json

import pytest
import torch

from t2v_helpers import cartoon, generate, lora, models, newword, teaching, tuning
from t2v_helpers.measures import Measure
from t2v_helpers.records import GenerationSpec

FEW = {"STEPS": (0, 1, 2), "CLIPS": 2, "OLD": 2, "VIDEOS": 2}


@pytest.fixture
def pipe(toy_folder):
    return models.load(toy_folder, device="cpu", dtype="float32")


@pytest.fixture
def small(monkeypatch):
    """A table that takes a second: `new_examples` and the others read their defaults when they are called."""
    monkeypatch.setattr(teaching, "RUNS", ({"rank": 2, "old": 0.5}, {"rank": 1, "old": 0.0}))
    monkeypatch.setattr(teaching, "ASKED", {"steps": 1, "frames": 2})
    for name, value in FEW.items():
        monkeypatch.setattr(teaching, name, value)


def test_it_is_made_resumes_and_leaves_the_model_as_it_was(small, pipe, tmp_path):
    before = {name: p.clone() for name, p in pipe.unet.named_parameters()}
    table = teaching.make(pipe, tmp_path / "table.jsonl", [0])
    first = table.read_text()
    teaching.make(pipe, table)
    lines = teaching.load(table)
    assert table.read_text().startswith(first) and [line["rank"] for line in lines] == [2, 1]
    assert lines[0]["found"]["0"] == lines[1]["found"]["0"]  # the untouched model
    assert all(list(line["found"]) == ["0", "1", "2"] for line in lines)
    assert all(len(line["found"]["2"][kind]) == 2 for line in lines for kind in ("new", "old"))
    assert lora.added(pipe.unet) == {} and not pipe.new_words
    assert all(torch.equal(p, before[name]) for name, p in pipe.unet.named_parameters())


def test_a_table_of_another_setting_is_refused(small, pipe, tmp_path, monkeypatch):
    table = teaching.make(pipe, tmp_path / "table.jsonl", [0])
    monkeypatch.setattr(teaching, "CLIPS", 3)
    with pytest.raises(ValueError, match="was measured with"):
        teaching.make(pipe, table)


def test_the_old_examples_are_what_the_model_makes(small, pipe):

    old = teaching.old_examples(pipe)
    caption = cartoon.item(teaching.OLD_STREAM, 1, frames=1).caption
    wanted = generate.generate(pipe, GenerationSpec(caption, seed=1, steps=1, frames=2)).frames
    assert (generate.decode_latents(pipe, old.latents[1:])[0] == wanted).all()
    torch.testing.assert_close(old.text[1:], tuning.read(pipe, [caption]))


def test_new_sentences_name_the_word_and_old_ones_do_not(small):
    for seed in range(5):
        caption, labels = teaching.new_prompt(seed)
        assert caption.endswith("in sepia style") and cartoon.parse(caption.removesuffix(" in sepia style")) == labels
        caption, labels = teaching.old_prompt(seed)
        assert newword.WORD not in caption and cartoon.parse(caption) == labels


def test_labels_count_what_the_judge_reads():
    item = cartoon.item(5, 0, frames=16)
    assert teaching.labels(item.frames, item.labels) == "1111"
    other = next(x for x in cartoon.PLACES if x != item.labels.place)
    asked = cartoon.Labels(item.labels.subject, item.labels.action, other, item.labels.style)
    assert teaching.labels(item.frames, asked) == "1101"


def test_shares_count_what_they_name():
    found = [{"distance": newword.LIMIT - 1, "labels": "1110"}, {"distance": newword.LIMIT, "labels": "1111"}]
    assert (teaching.sepia(found).value, teaching.right(found).value, teaching.right(found, 3).value) == (0.5, 0.5, 1)
    assert isinstance(teaching.sepia(found), Measure) and teaching.sepia(found).n == 2


def test_the_command_prints_the_table(small, toy_folder, tmp_path, monkeypatch, capsys):
    load = models.load
    monkeypatch.setattr(models, "load", lambda name, **kwargs: load(toy_folder, device="cpu", dtype="float32"))
    assert teaching.main(["--table", str(tmp_path / "t.jsonl")]) == 0
    assert "rank 2, 50% old" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        teaching.main(["--table", str(tmp_path)])
    assert "is a folder" in capsys.readouterr().err


def test_the_committed_table_is_whole():
    head = json.loads(teaching.TABLE.read_text(encoding="utf-8").splitlines()[0])
    lines = teaching.load()
    assert head["limit"] == newword.LIMIT and len(lines) == len(teaching.RUNS)
    for line, run in zip(lines, teaching.RUNS, strict=True):
        assert run.items() <= line.items() and list(line["found"]) == [str(n) for n in teaching.STEPS]
        assert all(len(at[kind]) == teaching.VIDEOS for at in line["found"].values() for kind in ("new", "old"))
