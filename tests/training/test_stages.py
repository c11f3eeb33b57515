"""`t2v train`: every stage at toy size, to a folder that plain diffusers opens."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
from diffusers import DiffusionPipeline

from t2v_helpers.core import files
from t2v_helpers.training import export, loop, progress, stages

pytestmark = pytest.mark.usefixtures("toy_sizes")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, toy_sizes):
    """A quick training of all stages."""
    runs = tmp_path_factory.mktemp("runs")
    assert stages.main(["--quick", "--runs", str(runs)]) == 0
    return runs / "quick"


def test_every_stage_leaves_its_part(runs):
    files.check_manifest(runs / "model")
    log = [json.loads(line) for line in (runs / "unet" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["stage"] == "unet" and log[-1]["step"] == 8 and log[-1]["loss"] > 0
    assert log[-1]["steps_per_second"] == pytest.approx(8 / log[-1]["seconds"])


def test_all_logs_are_gathered_in_one_file(runs):
    lines = [json.loads(line) for line in (runs / "training.jsonl").read_text().splitlines()]
    trained = [stage for stage in stages.STAGES if stage not in ("latents", "halving", "student", "export")]
    trained[-1:] = ["halving_2", "halving_4", "consistency"]
    assert list(dict.fromkeys(line["stage"] for line in lines)) == trained
    assert all(line["steps_per_second"] > 0 and line["seconds"] > 0 for line in lines)


def test_a_repeated_step_is_logged_once(tmp_path):
    (tmp_path / "unet").mkdir()
    lines = [{"step": 200, "loss": 1.0}, {"step": 300, "loss": 2.0}, {"step": 300, "loss": 0.123456789}]
    (tmp_path / "unet" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert list(progress.logged(tmp_path, stages.STAGES)) == [lines[0], {"step": 300, "loss": 0.12346}]


def test_a_line_of_a_log_that_was_cut_short_costs_no_other(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "log.jsonl").write_text('{"step": 100}\n{"step": 2{"step": 200}\n{"step": 300}\n{"st')
    assert [line["step"] for line in progress.logged(tmp_path, stages.STAGES)] == [100, 300]


def test_the_model_opens_and_makes_a_video(runs):
    pipe = DiffusionPipeline.from_pretrained(runs / "model", dtype=torch.float32)
    frames = pipe("a fish is sleeping", num_frames=2, num_inference_steps=2, output_type="np").frames[0]
    assert frames.shape == (2, 64, 64, 3)


@pytest.mark.parametrize("method, scheduler", [("halving", "DDIMScheduler"), ("consistency", "LCMScheduler")])
def test_the_student_opens_and_makes_a_video_in_two_calls(runs, method, scheduler, monkeypatch):
    plan = replace(stages.Plan.quick(runs, runs / "model"), student=method)
    stages.export_student(plan)
    files.check_manifest(runs / "weights" / "student")
    pipe = DiffusionPipeline.from_pretrained(runs / "weights" / "student", dtype=torch.float32)
    calls, forward = [], pipe.unet.forward
    monkeypatch.setattr(
        pipe.unet, "forward", lambda x, t, *args, **kw: calls.append((len(x), int(t))) or forward(x, t, *args, **kw)
    )
    frames = pipe("a fish is sleeping", num_frames=2, num_inference_steps=2, guidance_scale=1, output_type="np").frames[
        0
    ]
    assert frames.shape == (2, 64, 64, 3) and type(pipe.scheduler).__name__ == scheduler
    assert calls == [(1, 999), (1, 499)]


def test_a_student_is_measured_by_its_calls(runs):
    plan = stages.Plan.quick(runs, runs / "model")
    found = stages.probe_student(plan, stages._halved(plan))
    assert list(found) == ["calls 4", "calls 2", "calls 1"] and found["calls 2"]["adherence"]["all four"]["n"] == 2


def test_a_training_is_measured_at_its_end(runs):
    for stage in ("unet", "halving_2", "halving_4", "consistency"):
        last = json.loads((runs / stage / "log.jsonl").read_text().splitlines()[-1])
        assert "adherence" in last or list(last)[-3:] == ["calls 4", "calls 2", "calls 1"], stage


def test_a_finished_training_is_not_done_again(runs):
    before = (runs / "vae" / "checkpoint.safetensors").stat().st_mtime_ns
    stages.main(["vae", "latents", "--quick", "--runs", str(runs.parent)])
    assert (runs / "vae" / "checkpoint.safetensors").stat().st_mtime_ns == before


def test_the_probe_judges_a_few_videos(runs):
    found = stages.probe(stages.Plan.quick(runs, runs / "model"))
    assert found["adherence"]["all four"]["n"] == found["wholeness"]["share"]["n"] == 2 and found["sharpness"] > 0


def test_a_stage_waits_for_those_before_it(tmp_path):
    for stage in ("decoder", "latents", "unet", "export"):
        with pytest.raises(ValueError, match=r"stage vae is not finished \(0 of 4 steps in .*vae\)"):
            stages.main(["--quick", stage, "--runs", str(tmp_path)])
    assert not list(tmp_path.rglob("*.*"))


def test_a_half_trained_unet_is_measured_and_not_exported(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "quick")
    plan = stages.Plan.quick(tmp_path / "quick", tmp_path / "model")
    (plan.runs / "unet" / "checkpoint.safetensors").unlink()
    plan.segmenter_weights.unlink()
    steps = loop.train(stages._unet_task(plan), plan.runs / "unet", save_every=3)
    assert [next(steps).index for _ in range(3)] == [1, 2, 3]
    steps.close()
    found = stages.probe(plan)
    assert found["adherence"]["all four"]["n"] == 2 and "wholeness" not in found
    with pytest.raises(ValueError, match=r"stage unet is not finished \(3 of 8 steps"):
        stages.main(["--quick", "export", "--runs", str(tmp_path), "--out", str(plan.out)])
    assert not plan.out.exists()
    assert stages.main(["--quick", "unet", "export", "--runs", str(tmp_path), "--out", str(plan.out)]) == 0
    files.check_manifest(plan.out)


def test_damaged_latents_are_not_taken_for_finished(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "quick")
    (tmp_path / "quick" / "latents.safetensors").write_text("xx")
    for stage in ("latents", "unet"):
        with pytest.raises(ValueError, match="latents.safetensors is damaged"):
            stages.main(["--quick", stage, "--runs", str(tmp_path)])


def test_a_folder_of_other_files_is_refused_before_the_first_stage(tmp_path, monkeypatch):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    monkeypatch.chdir(tmp_path)
    for out, why in (("thesis", "it holds files"), (".", "you are working in it"), ("r", "r.quick would be lost")):
        with pytest.raises(ValueError, match=f"cannot replace '{out}': {why}"):
            stages.main(["--quick", "--runs", "r", "--out", out])
    assert os.listdir(tmp_path) == ["thesis"] and os.listdir("thesis") == ["chapter.tex"]


def test_runs_below_a_file_are_refused(tmp_path):
    (tmp_path / "notes").touch()
    with pytest.raises(NotADirectoryError, match="notes is a file"):
        stages.main(["judge", "--runs", str(tmp_path / "notes")])


@pytest.mark.parametrize("option", ["--runs", "--out"])
def test_an_empty_name_is_refused(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        stages.main(["--quick", option, ""])
    assert f"argument {option}: '' is" in capsys.readouterr().err


def test_the_full_plan_replaces_the_model_of_the_package():
    assert stages.Plan(runs=None).out == export.MODEL


def test_an_unknown_stage_is_refused():
    with pytest.raises(ValueError, match="stage='gan' is unknown.* judge, clip, segmenter, vae, decoder"):
        stages.main(["gan"])
