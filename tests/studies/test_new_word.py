"""The table behind notebook 07: its rows, and its measures, which count what they name."""

import pytest
import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon import sepia_word
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.model import denoising, generate, loading, lora
from t2v_helpers.studies import new_word
from t2v_helpers.training import finetune

FEW = {"STEPS": (0, 1, 2), "CLIPS": 2, "OLD": 2, "VIDEOS": 2}


@pytest.fixture
def pipe(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


@pytest.fixture
def small(monkeypatch):
    """Rows that take a second: `new_examples` and the others read their defaults when they are called."""
    monkeypatch.setattr(new_word, "RUNS", ({"rank": 2, "old": 0.5}, {"rank": 1, "old": 0.0}))
    monkeypatch.setattr(new_word, "ASKED", {"steps": 1, "frames": 2})
    for name, value in FEW.items():
        monkeypatch.setattr(new_word, name, value)


def test_a_line_leaves_the_model_as_it_was(small, pipe):
    before = {name: p.clone() for name, p in pipe.unet.named_parameters()}
    lines = [new_word.line(pipe, k) for k in range(2)]
    assert [line["rank"] for line in lines] == [2, 1]
    assert lines[0]["found"]["0"] == lines[1]["found"]["0"]  # the untouched model
    assert all(list(line["found"]) == ["0", "1", "2"] for line in lines)
    assert all(len(line["found"]["2"][kind]) == 2 for line in lines for kind in ("new", "old"))
    assert lora.added(pipe.unet) == {} and not getattr(pipe, "new_words", ())
    assert all(torch.equal(p, before[name]) for name, p in pipe.unet.named_parameters())


def test_the_old_examples_are_what_the_model_makes(small, pipe):
    old = new_word.old_examples(pipe)
    caption = cartoon.item(new_word.OLD_STREAM, 1, frames=1).caption
    wanted = generate.generate(pipe, GenerationSpec(caption, seed=1, steps=1, frames=2)).frames
    assert (denoising.decode_latents(pipe, old.latents[1:])[0] == wanted).all()
    torch.testing.assert_close(old.text[1:], finetune.read(pipe, [caption]))


def test_new_sentences_name_the_word_and_old_ones_do_not(small):
    for seed in range(5):
        caption, labels = new_word.new_prompt(seed)
        assert caption.endswith("in sepia style") and cartoon.parse(caption.removesuffix(" in sepia style")) == labels
        caption, labels = new_word.old_prompt(seed)
        assert sepia_word.WORD not in caption and cartoon.parse(caption) == labels


def test_shares_count_what_they_name():
    found = [{"distance": sepia_word.LIMIT - 1, "labels": "1110"}, {"distance": sepia_word.LIMIT, "labels": "1111"}]
    assert (new_word.sepia(found).value, new_word.right(found).value, new_word.right(found, 3).value) == (0.5, 0.5, 1)
    assert isinstance(new_word.sepia(found), Measure) and new_word.sepia(found).n == 2


def test_the_committed_table_is_what_the_study_asks():
    lines = new_word.STUDY.load()
    for line, run in zip(lines, new_word.RUNS, strict=True):
        assert run.items() <= line.items() and list(line["found"]) == [str(n) for n in new_word.STEPS]
        assert all(len(at[kind]) == new_word.VIDEOS for at in line["found"].values() for kind in ("new", "old"))
    assert len(new_word.summary(lines).splitlines()) == 1 + len(lines) * len(new_word.STEPS)
