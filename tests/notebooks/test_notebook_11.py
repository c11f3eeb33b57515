"""Notebook 11 asks what the package asks: its functions are taken out and run on toy parts."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import notebook_functions
import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from t2v_helpers import metrics
from t2v_helpers.core import video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.course import blog
from t2v_helpers.course.blog import published, watermark
from t2v_helpers.metrics import power
from t2v_helpers.model import generate, loading

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "11_reproduce_the_blog.ipynb"


def functions() -> str:
    """The source of every function that the notebook defines; exercises left out."""
    return notebook_functions.source(notebook_functions.functions(NOTEBOOK))


def namespace(**names) -> dict:
    """The notebook's functions, and the names that they look up; `rows` is the ledger, empty."""
    modules = {"np": np, "torch": torch, "os": os, "Path": Path, "generate": generate, "blog": blog}
    here = modules | {"metrics": metrics, "loading": loading, "power": power, "GenerationSpec": GenerationSpec}
    here |= {"rows": [], "theirs": {}, "IS_CARTOON": True} | names
    exec(functions(), here)  # the repository's own notebook
    return here


def test_its_draws_are_those_that_the_blogs_videos_start_from(solution):
    shape = (1, 4, 2, 3, 3)  # [b c f h w]
    all_six = namespace()["draws"](6, shape)
    start_of = solution("11_2", "start_of")
    assert all(torch.equal(start_of(k, shape), noise) for k, noise in enumerate(all_six, 1))
    assert not torch.equal(all_six[0], all_six[1])


@pytest.mark.parametrize("more", [0, 1, 2, 3, 100])
def test_its_verdict_is_the_packages(more, solution):
    first = np.full((2, 3, 3, 3), 100, np.uint8)  # [f h w c]
    assert solution("11_1", "verdict_of")(first, first + np.uint8(more)) == blog.compare(first, first + more)[0]


def test_its_still_edges_are_the_packages(solution):
    clip = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3), np.uint8)  # [f h w c]
    grey = clip @ video.LUMA  # [f h w]
    usual = np.abs(np.diff(grey, axis=2)).mean(axis=0) + 1  # [h w-1]
    assert np.allclose(solution("11_3", "still")(grey) / usual, watermark.still_edges(clip), atol=1e-5)


def test_a_video_is_kept_with_its_row(toy_pipe, tmp_path):
    here = namespace(OUTPUTS=tmp_path)
    run = published.Run("one.mp4", "a dog dancing", "ddim", "", steps=2, frames=2)
    (made,) = blog.controlled(toy_pipe, [run])
    row = here["keep"]("as published", made)
    assert here["rows"] == [row] and row.video == "as_published_one.mp4"
    assert video.facts(tmp_path / "11_ledger" / row.video).frames == 2


@pytest.mark.parametrize("on", [None, "both"])
def test_a_judged_claim_becomes_a_row_that_names_the_model(toy_pipe, capsys, on):
    here, why = namespace(pipe=toy_pipe), f"on {on or toy_pipe.name}: 8 is not 10."
    here["judged"]("export", blog.FAILS, "8 is not 10.", on)
    assert here["rows"] == [blog.claim_row("export", blog.FAILS, why)]
    assert capsys.readouterr().out == f"export: does not hold. {why}\n"


@pytest.mark.parametrize(("on", "off", "verdict"), [(8, 0, blog.HOLDS), (8, 3, blog.FAILS), (0, 8, blog.FAILS)])
def test_a_word_is_known_where_pairs_give_it_the_credit(toy_pipe, on, off, verdict):
    here = namespace(pipe=toy_pipe)
    found = {"with": on, "without": off}
    here["read_in"] = lambda prompt, label, wanted: [seed < found[prompt] for seed in range(8)]
    here["known"]("Van Gogh", "with", "without", "style", "van gogh")
    assert here["rows"][0].verdict == verdict and f"in {on} of 8" in here["rows"][0].why


def test_without_the_judge_a_word_is_not_judged(toy_pipe):
    here = namespace(pipe=toy_pipe, IS_CARTOON=False)
    here["known"]("Van Gogh", "", "", "style", "van gogh")
    assert here["rows"][0].verdict == blog.NOT_RUN


def test_a_word_is_read_over_eight_seeds(toy_pipe):
    read = namespace(pipe=toy_pipe)["read_in"]("a dog", "style", "plain")
    assert len(read) == 8 and set(read) <= {True, False}


def test_a_folder_that_does_not_run_is_told_with_its_error(toy_folder):
    loads = SimpleNamespace(from_pretrained=lambda folder: torch.zeros(2) @ torch.zeros(3))
    lines = namespace(DiffusionPipeline=loads)["blogs_lines"](toy_folder)
    assert lines.startswith('stop: "') and "size" in lines


@pytest.fixture(scope="module")
def clip_folder(toy_folder, tmp_path_factory):
    """A toy CLIP with the toy pipeline's tokenizer: pictures of 32x32, vectors of 16 numbers."""
    tokenizer = CLIPTokenizer.from_pretrained(toy_folder / "tokenizer")
    narrow = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    seen = narrow | {"image_size": 32, "patch_size": 16}
    read = narrow | {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=read, vision_config=seen, projection_dim=16))
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    folder = tmp_path_factory.mktemp("clip")
    model.save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(**size), tokenizer).save_pretrained(folder)
    return folder


def test_the_clip_is_the_one_that_is_named_or_was_downloaded(clip_folder, monkeypatch):
    here = namespace(try_to_load_from_cache=lambda *asked: str(clip_folder / asked[1]))
    monkeypatch.delenv("T2V_CLIP", raising=False)
    downloaded = here["clip_at_hand"]()
    monkeypatch.setenv("T2V_CLIP", str(clip_folder))
    assert here["clip_at_hand"]() is downloaded and isinstance(downloaded, metrics.Clip)


def test_no_clip_is_none_and_a_broken_one_is_an_error(clip_folder, tmp_path, monkeypatch):
    here = namespace(try_to_load_from_cache=lambda *asked: None)
    monkeypatch.delenv("T2V_CLIP", raising=False)
    assert here["clip_at_hand"]() is None
    pickled = shutil.copytree(clip_folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    for folder, said in ((pickled, "pickles are not opened"), (tmp_path, "does not hold a complete CLIP")):
        monkeypatch.setenv("T2V_CLIP", str(folder))
        with pytest.raises(ValueError, match=said):
            here["clip_at_hand"]()
