"""The table behind notebook 07: its rows, and its measures, which count what they name."""

import numpy as np
import pytest
import torch

from t2v_helpers import cartoon
from t2v_helpers.cartoon import sepia_word
from t2v_helpers.core import video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import denoising, generate, loading, lora
from t2v_helpers.studies import new_word
from t2v_helpers.training import finetune

FEW = {"STEPS": (0, 1, 2), "CLIPS": 2, "OLD": 2, "VIDEOS": 2, "DRAWINGS": 2}


@pytest.fixture
def pipe(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


@pytest.fixture
def small(monkeypatch):
    """Rows that take a second: `new_examples` and the others read their defaults when they are called."""
    runs = (
        {"name": "a", "learns": "both", "rank": 2, "old": 0.5},
        {"name": "b", "learns": "LoRA", "rank": 1, "old": 0.0},
    )
    monkeypatch.setattr(new_word, "RUNS", runs)
    for name in ("USUAL", "ASKED"):
        monkeypatch.setattr(new_word, name, {"steps": 1, "frames": 2})
    for name, value in FEW.items():
        monkeypatch.setattr(new_word, name, value)


def test_a_line_leaves_the_model_as_it_was(small, pipe):
    before = {name: p.clone() for name, p in pipe.unet.named_parameters()}
    lines = [new_word.line(pipe, k) for k in range(2)]
    assert [line["rank"] for line in lines] == [2, 1] and [line["prompt"] for line in lines] == ["a", "b"]
    assert lines[0]["found"]["0"] == lines[1]["found"]["0"]  # the untouched model
    assert all(list(line["found"]) == ["0", "1", "2"] for line in lines)
    assert all(len(line["found"]["2"][kind]) == 2 for line in lines for kind in ("new", "old"))
    assert lora.added(pipe.unet) == {} == lora.pieces(pipe) and not getattr(pipe, "new_words", ())
    assert {line["limit"] for line in lines} == {new_word.limit(pipe)}
    assert all(torch.equal(p, before[name]) for name, p in pipe.unet.named_parameters())


def test_the_old_examples_are_what_the_model_makes(small, pipe):
    old = new_word.old_examples(pipe)
    caption = cartoon.item(new_word.OLD_STREAM, 1, frames=1).caption
    wanted = generate.generate(pipe, GenerationSpec(caption, seed=1, steps=1, frames=2)).frames
    assert (denoising.decode_latents(pipe, old.latents[1:])[0] == wanted).all()
    assert torch.equal(old.text[1:], finetune.tokens(pipe, [caption]))


@pytest.mark.parametrize("learns", ["both", "LoRA", "word"])
def test_only_what_a_training_names_changes(small, pipe, learns):
    *matrices, change = new_word.learning(pipe, learns="both", rank=1)
    lora.remove(pipe)
    parameters = new_word.learning(pipe, learns, rank=1)
    assert len(parameters) == {"both": len(matrices) + 1, "LoRA": len(matrices), "word": 1}[learns]
    examples = new_word.new_examples(pipe)
    list(finetune.train(pipe, parameters, examples, None, finetune.Settings(steps=2, batch=2, old=0.0)))
    moved = any(x.any() for x in lora.pieces(pipe).values())
    b = any(x.any() for name, x in lora.tensors(pipe.unet).items() if "lora_B" in name)
    assert (b, moved) == {"both": (True, True), "LoRA": (True, False), "word": (False, True)}[learns]


def test_the_limit_is_that_of_drawings_alone(small, pipe):
    near, far = new_word.drawn_distances(pipe)
    assert len(near) == len(far) == 2 and new_word.limit(pipe) == round(sepia_word.limit(near, far), 1)
    assert new_word.drawn_distances(pipe, first=1)[0][0] == near[1]


@torch.no_grad()
def test_the_limit_in_the_package_is_that_of_the_shipped_model():
    pipe = loading.load("cartoon", device="cpu", dtype="float32", quiet=True)
    assert new_word.limit(pipe) == pytest.approx(sepia_word.LIMIT, abs=0.05)


def test_own_clips_are_cut_to_the_length_that_is_asked(small, pipe, tmp_path):
    video.write_mp4(np.zeros((3, 32, 32, 3), np.uint8), tmp_path / "a.mp4")
    (tmp_path / "a.txt").write_text("a dog")
    own = new_word.new_examples(pipe, tmp_path)
    assert own.latents.shape[2] == 2 and torch.equal(own.text, finetune.tokens(pipe, ["a dog"]))


def test_new_sentences_name_the_word_and_old_ones_do_not(small):
    for seed in range(5):
        caption, labels = new_word.new_prompt(seed)
        assert caption.endswith("in sepia style") and cartoon.parse(caption.removesuffix(" in sepia style")) == labels
        caption, labels = new_word.old_prompt(seed)
        assert sepia_word.WORD not in caption and cartoon.parse(caption) == labels


def test_answers_say_what_they_name():
    found = [{"distance": 12.9, "labels": "1110"}, {"distance": 13.0, "labels": "1111"}]
    assert new_word.sepia(found, 13.0) == [True, False]
    assert new_word.right(found) == [False, True] and new_word.right(found, 3) == [True, True]


def test_the_committed_table_is_what_the_study_asks():
    lines = new_word.STUDY.load()
    for line, run in zip(lines, new_word.RUNS, strict=True):
        assert run.items() <= line.items() and line["limit"] == new_word.STUDY.about()["limit"]
        assert list(line["found"]) == [str(n) for n in new_word.STEPS]
        assert all(len(at[kind]) == new_word.VIDEOS for at in line["found"].values() for kind in ("new", "old"))
    assert len(new_word.summary(lines).splitlines()) == 1 + len(lines) * len(new_word.STEPS)
