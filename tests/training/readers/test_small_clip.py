"""The small CLIP: it learns which caption belongs to which frame, is shipped whole, and measures."""

import shutil

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import tokenizer
from t2v_helpers.core import files, seeding
from t2v_helpers.model.folders import manifests
from t2v_helpers.training import loop
from t2v_helpers.training.readers import small_clip

TOKENIZER = tokenizer.new_tokenizer()
FEW = small_clip.ClipSettings(steps=2, batch=4, pool=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained CLIP, shipped."""
    place = tmp_path_factory.mktemp("clip") / "clip"
    model = seeding.seeded(0, lambda: small_clip.new_clip(TOKENIZER))
    small_clip.export(model, TOKENIZER, place)
    return place


def test_a_batch_follows_from_its_number_alone():
    task, again = small_clip.ClipTask(FEW, TOKENIZER), small_clip.ClipTask(FEW, TOKENIZER)
    task.batch(0)
    for one, other in zip(task.batch(1), again.batch(1), strict=True):
        assert torch.equal(one, other)
    frames, tokens, alike = task.batch(1)
    assert frames.shape == (4, 3, 64, 64) and tokens.shape == (4, 24) and alike.shape == (4,)


def test_captions_of_the_same_labels_share_the_credit():
    task = small_clip.ClipTask(FEW, TOKENIZER)
    frames, tokens, _ = task.batch(0)
    twice = [torch.cat([x[:1], x[:1]]) for x in (frames, tokens)]
    same, other = (task.loss((*twice, torch.tensor(alike)))[0].item() for alike in ([7, 7], [0, 1]))
    assert same == pytest.approx(np.log(2), abs=1e-4) and other == pytest.approx(np.log(2), abs=1e-4)
    assert task.loss((*twice, torch.tensor([7, 7])))[1] == {"right": 1.0}


def test_it_learns(tmp_path):
    settings = small_clip.ClipSettings(steps=40, batch=16, pool=16, warm_up=2)
    losses = [step.loss for step in loop.train(small_clip.ClipTask(settings, TOKENIZER), tmp_path)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_what_is_shipped_is_what_was_learned(folder):
    clip = metrics.load_clip(folder)
    manifests.check(folder)
    frames = cartoon.item(0, 0, 3).frames
    x = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1  # as in training
    with torch.no_grad():
        wanted = CLIPModel.from_pretrained(folder).float().eval().get_image_features(pixel_values=x).pooler_output
    found = clip.of_frames(frames)
    torch.testing.assert_close(found, wanted / wanted.norm(dim=-1, keepdim=True), atol=1e-4, rtol=1e-3)


def test_a_failure_leaves_the_old_one(folder):
    before = files.sha256(folder / "model.safetensors")

    def fail(new):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        files.replace_folder(folder, fail)
    assert files.sha256(folder / "model.safetensors") == before and len(list(folder.parent.iterdir())) == 1


# --- measuring with it


def test_similarity_is_the_mean_cosine_of_the_frames(folder):
    clip, frames = metrics.load_clip(folder), cartoon.item(0, 0, 4).frames
    alone = [metrics.clip_similarity(frame[None], "a dog", clip) for frame in frames]
    assert metrics.clip_similarity(frames, "a dog", clip) == pytest.approx(np.mean(alone), abs=1e-5)
    assert metrics.clip_similarity(frames[::-1], "a dog", clip) == pytest.approx(np.mean(alone), abs=1e-5)


def test_a_still_video_is_alike_and_another_is_less(folder):
    clip, frames = metrics.load_clip(folder), cartoon.item(0, 0, 4).frames
    assert metrics.frame_similarity(np.repeat(frames[:1], 3, axis=0), clip) == pytest.approx(1, abs=1e-5)
    assert metrics.frame_similarity(frames, clip) < 1


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda c: metrics.clip_similarity(np.zeros((2, 64, 64), np.uint8), "a dog", c), r"uint8 \[f h w 3\]"),
        (lambda c: metrics.clip_similarity(np.zeros((2, 64, 64, 3), np.uint8), "  ", c), "text='  '"),
        (lambda c: metrics.frame_similarity(np.zeros((1, 64, 64, 3), np.uint8), c), "1 frames: use 2"),
        (lambda c: c.of_words("a dog"), "texts='a dog'"),
        (lambda c: c.of_words([]), r"texts=\[\]"),
        (lambda c: c.of_words(["a dog", ""]), "none of them empty"),
        (lambda c: c.of_words([3]), r"texts=\[3\]"),
        (lambda c: metrics.clip_similarity(np.zeros((2, 64, 64, 3), np.uint8), ["a dog"], c), r"text=\['a dog'\]"),
        (
            lambda c: metrics.clip_similarity(np.zeros((2, 64, 64, 3), np.uint8), "a dog", "folder"),
            "clip is of type str",
        ),
        (lambda c: metrics.frame_similarity(np.zeros((2, 64, 64, 3), np.uint8), 3), "load_clip.folder. reads it"),
    ],
)
def test_what_cannot_be_measured_is_refused(folder, call, word):
    with pytest.raises(ValueError, match=word):
        call(metrics.load_clip(folder))


def test_a_folder_without_a_clip_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.* is not a folder"):
        metrics.load_clip(tmp_path / "none")
    with pytest.raises(ValueError, match="folder is empty"):
        metrics.load_clip("")
    with pytest.raises(ValueError, match="complete CLIP"):
        metrics.load_clip(tmp_path)


@pytest.mark.parametrize("folder", [5, None, []])
def test_what_is_no_path_of_a_clip_is_refused(folder):
    with pytest.raises(ValueError, match="folder is of type"):
        metrics.load_clip(folder)


def test_a_clip_that_is_cut_short_is_refused(tmp_path):
    shutil.copytree(metrics.CARTOON, tmp_path / "clip")
    path = tmp_path / "clip" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ValueError, match="complete CLIP .*: download or save it again"):
        metrics.load_clip(tmp_path / "clip")
