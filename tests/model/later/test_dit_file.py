"""The DiT's file: it goes into a pipeline and out again, and another's is refused in one sentence."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside.dit import DiT
from t2v_helpers.model import loading
from t2v_helpers.model.generate import generate
from t2v_helpers.model.later import dit_file

SPEC = GenerationSpec("a dog is dancing", seed=1, steps=2, frames=3, guidance=2.0)


@pytest.fixture
def pipe(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32", quiet=True)


@pytest.fixture
def dit():
    """One with small random weights."""
    found = DiT(dit_file.config_of(8, 32, 8))
    with torch.no_grad():
        for i, p in enumerate(found.parameters()):
            p.copy_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
    return found.eval()


@pytest.fixture
def path(dit, tmp_path):
    dit_file.save(dit, tmp_path / "dit.safetensors")
    return tmp_path / "dit.safetensors"


def test_inside_the_with_it_makes_the_videos_and_then_all_is_as_before(pipe, dit, path):
    before = generate(pipe, SPEC).frames
    with dit_file.using(pipe, path) as other:
        assert isinstance(pipe.unet, DiT) and not pipe.unet.training
        found = other.unet.state_dict()
        assert all(torch.equal(found[name], x) for name, x in dit.half().float().state_dict().items())
        made = generate(pipe, SPEC)
    assert made.frames.shape == before.shape and (made.frames != before).any()
    assert (generate(pipe, SPEC).frames == before).all()


def test_no_file_says_how_to_make_one(pipe, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.safetensors does not exist.*`t2v train dit`"):
        dit_file.load(pipe, tmp_path / "none.safetensors")


def rewritten(path, change, **header):
    about = {"config": dit_file._text(dit_file.config_of(8, 32, 8)), "predicts": "noise"} | header
    save_file(change(load_file(path)), path, metadata={key: value for key, value in about.items() if value})


DAMAGE = {  # what is done to the file -> words of the refusal
    "another objective": (lambda path: rewritten(path, dict, predicts="velocity"), "predicts 'velocity'"),
    "says nothing": (lambda path: rewritten(path, dict, predicts=""), "nothing that it says"),
    "other heads": (
        lambda path: rewritten(path, dict, config=dit_file._text(replace(dit_file.config_of(8, 32, 8), heads=3))),
        "another pipeline",
    ),
    "no config": (lambda path: rewritten(path, dict, config=""), "another pipeline"),
    "a part is missing": (lambda path: rewritten(path, lambda x: dict(list(x.items())[1:])), "is missing"),
    "not finite": (lambda path: rewritten(path, lambda x: {k: v / 0 for k, v in x.items()}), "NaN or infinity"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cut short or damaged"),
    "no safetensors": (lambda path: path.write_text("weights"), "cut short or damaged"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_another_file_is_refused_and_the_pipeline_left_alone(pipe, path, what):
    damage, words = DAMAGE[what]
    damage(path)
    unet = pipe.unet
    with pytest.raises(ValueError, match=words) as caught, dit_file.using(pipe, path):
        pass
    assert pipe.unet is unet and str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_dit_that_is_too_large_is_not_written(dit, tmp_path, monkeypatch):
    monkeypatch.setattr(dit_file, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        dit_file.save(dit, tmp_path / "large.safetensors")
    assert not (tmp_path / "large.safetensors").exists()
