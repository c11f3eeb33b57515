"""`t2v train`: every stage at toy size, to a folder that plain diffusers opens."""

import json

import pytest
import torch
from diffusers import DiffusionPipeline

from t2v_helpers import files, recipe, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A quick training of all stages."""
    runs = tmp_path_factory.mktemp("runs")
    assert train.main(["--quick", "--runs", str(runs)]) == 0
    return runs / "quick"


def test_every_stage_leaves_its_part(runs):
    files.check_manifest(runs / "model")
    log = [json.loads(line) for line in (runs / "unet" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 8 and log[-1]["loss"] > 0


def test_the_model_opens_and_makes_a_video(runs):
    pipe = DiffusionPipeline.from_pretrained(runs / "model", dtype=torch.float32)
    frames = pipe("a fish is sleeping", num_frames=2, num_inference_steps=2, output_type="np").frames[0]
    assert frames.shape == (2, 64, 64, 3)


def test_a_finished_training_is_not_done_again(runs):
    before = (runs / "vae" / "checkpoint.safetensors").stat().st_mtime_ns
    train.main(["vae", "latents", "--quick", "--runs", str(runs.parent)])
    assert (runs / "vae" / "checkpoint.safetensors").stat().st_mtime_ns == before


def test_the_probe_judges_a_few_videos(runs):
    found = train.probe(train.Plan.quick(runs, runs / "model"))["adherence"]
    assert found["all four"]["n"] == 2


def test_the_full_plan_replaces_the_shipped_model():
    assert train.Plan(runs=None).out == recipe.MODEL


def test_an_unknown_stage_is_refused():
    with pytest.raises(ValueError, match="stage 'gan' is unknown; stages are: judge, vae, decoder, latents, unet"):
        train.main(["gan"])
