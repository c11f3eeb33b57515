"""`t2v train`: every stage at toy size, to a folder that plain diffusers opens."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
from diffusers import DiffusionPipeline

from t2v_helpers import files, recipe, train, training


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


def test_all_logs_are_gathered_in_one_file(runs):
    lines = [json.loads(line) for line in (runs / "training.jsonl").read_text().splitlines()]
    learned = [stage for stage in train.STAGES if stage not in ("latents", "ship")]
    assert list(dict.fromkeys(line["stage"] for line in lines)) == learned
    assert all(line["steps_per_second"] > 0 and line["seconds"] > 0 for line in lines)


def test_a_step_done_again_is_told_once(tmp_path):
    (tmp_path / "unet").mkdir()
    told = [{"step": 200, "loss": 1.0}, {"step": 300, "loss": 2.0}, {"step": 300, "loss": 0.123456789}]
    (tmp_path / "unet" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    assert list(train.curve(tmp_path)) == [told[0], {"step": 300, "loss": 0.12346}]


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


def test_the_probe_tells_how_sharp_and_how_whole(runs):
    plan = train.Plan.quick(runs, runs / "model")
    found = train.probe(plan)
    assert found["sharpness"] > 0 and found["wholeness"]["share"]["n"] == 2
    assert "wholeness" not in train.probe(replace(plan, segmenter_out=runs / "none.safetensors"))


def test_a_stage_waits_for_those_before_it(tmp_path):
    for stage in ("decoder", "latents", "unet", "ship"):
        with pytest.raises(
            ValueError, match=r"stage vae is not finished \(0 of 4 steps in .*vae\): run `t2v train vae`"
        ):
            train.main(["--quick", stage, "--runs", str(tmp_path)])
    assert not list(tmp_path.rglob("*.*"))


def test_a_half_trained_unet_is_measured_and_not_shipped(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "quick")
    plan = train.Plan.quick(tmp_path / "quick", tmp_path / "model")
    (plan.runs / "unet" / "checkpoint.safetensors").unlink()
    steps = training.train(train._unet_task(plan), plan.runs / "unet", save_every=3)
    assert [next(steps).index for _ in range(3)] == [1, 2, 3]
    steps.close()
    assert train.probe(plan)["adherence"]["all four"]["n"] == 2
    with pytest.raises(
        ValueError, match=r"stage unet is not finished \(3 of 8 steps in .*\): run `t2v train unet` first"
    ):
        train.main(["--quick", "ship", "--runs", str(tmp_path), "--out", str(plan.out)])
    assert not plan.out.exists()
    assert train.main(["--quick", "unet", "ship", "--runs", str(tmp_path), "--out", str(plan.out)]) == 0
    files.check_manifest(plan.out)


def test_damaged_latents_are_not_taken_for_finished(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "quick")
    (tmp_path / "quick" / "latents.safetensors").write_text("xx")
    for stage in ("latents", "unet"):
        with pytest.raises(ValueError, match="latents.safetensors holds no whole latents .*: delete it and run"):
            train.main(["--quick", stage, "--runs", str(tmp_path)])


def test_a_folder_of_other_files_is_refused_before_the_first_stage(tmp_path, monkeypatch):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    monkeypatch.chdir(tmp_path)
    for out, why in (
        ("thesis", "it holds files, but no model"),
        (".", "would be lost"),
        ("r", "r.quick would be lost"),
    ):
        with pytest.raises(
            ValueError, match=f"cannot replace '{out}' .*{why}.*: name a new folder, or one with a model"
        ):
            train.main(["--quick", "--runs", "r", "--out", out])
    assert os.listdir(tmp_path) == ["thesis"] and os.listdir("thesis") == ["chapter.tex"]


def test_runs_below_a_file_are_refused(tmp_path):
    (tmp_path / "notes").touch()
    with pytest.raises(NotADirectoryError, match="notes is a file, .*: choose another name"):
        train.main(["judge", "--runs", str(tmp_path / "notes")])


@pytest.mark.parametrize("option", ["--runs", "--out"])
def test_an_empty_name_is_refused(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        train.main(["--quick", option, ""])
    assert f"argument {option}: '' is no name: give one" in capsys.readouterr().err


def test_the_full_plan_replaces_the_shipped_model():
    assert train.Plan(runs=None).out == recipe.MODEL


def test_an_unknown_stage_is_refused():
    with pytest.raises(ValueError, match="stage 'gan' is unknown; stages are: judge, clip, segmenter, vae, decoder"):
        train.main(["gan"])
