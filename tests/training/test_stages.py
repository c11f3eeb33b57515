"""`t2v train`: every stage at toy size, to a folder that plain diffusers opens."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors import safe_open

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import loading
from t2v_helpers.model.folders import manifests
from t2v_helpers.model.generate import generate
from t2v_helpers.model.later import dit_file
from t2v_helpers.training import export, loop, stages

pytestmark = pytest.mark.usefixtures("toy_sizes")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, toy_sizes):
    """A quick training of all stages."""
    runs = tmp_path_factory.mktemp("runs")
    assert stages.main(["--quick", "--runs", str(runs)]) == 0
    return runs / "quick"


def test_every_stage_leaves_its_part(runs):
    manifests.check(runs / "model")
    log = [json.loads(line) for line in (runs / "unet" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["stage"] == "unet" and log[-1]["step"] == 8 and log[-1]["loss"] > 0
    assert log[-1]["steps_per_second"] == pytest.approx(8 / log[-1]["seconds"])


def test_all_logs_are_gathered_in_one_file(runs):
    lines = [json.loads(line) for line in (runs / "training.jsonl").read_text().splitlines()]
    trained = [stage for stage in stages.STAGES if stage not in ("latents", "halving", "student", "export")]
    trained[-1:] = ["halving_2", "halving_4", "consistency"]
    assert list(dict.fromkeys(line["stage"] for line in lines)) == trained
    assert all(line["steps_per_second"] > 0 and line["seconds"] > 0 for line in lines)


def test_the_model_opens_and_makes_a_video(runs):
    pipe = DiffusionPipeline.from_pretrained(runs / "model", dtype=torch.float32)
    frames = pipe("a fish is sleeping", num_frames=2, num_inference_steps=2, output_type="np").frames[0]
    assert frames.shape == (2, 64, 64, 3)


@pytest.mark.parametrize("method, scheduler", [("halving", "DDIMScheduler"), ("consistency", "LCMScheduler")])
def test_the_student_opens_and_makes_a_video_in_two_calls(runs, method, scheduler, monkeypatch):
    plan = replace(stages.Plan.quick(runs, runs / "model"), student=method)
    stages.export_student(plan)
    student, teacher = runs / "weights" / "student", DiffusionPipeline.from_pretrained(plan.out, dtype=torch.float32)
    lent = {part: getattr(teacher, part) for part in ("vae", "text_encoder", "tokenizer")}
    pipe = DiffusionPipeline.from_pretrained(student, **lent, dtype=torch.float32)
    calls, forward = [], pipe.unet.forward
    monkeypatch.setattr(
        pipe.unet, "forward", lambda x, t, *args, **kw: calls.append((len(x), int(t))) or forward(x, t, *args, **kw)
    )
    frames = pipe("a fish is sleeping", num_frames=2, num_inference_steps=2, guidance_scale=1, output_type="np").frames[
        0
    ]
    assert frames.shape == (2, 64, 64, 3) and type(pipe.scheduler).__name__ == scheduler
    assert calls == [(1, 999), (1, 499)]
    loading.with_student(loading.load(plan.out, "cpu", "float32"), student)  # its teacher's, as it was exported


def test_the_dit_is_written_takes_the_unets_place_and_is_measured(runs):
    pipe, spec = loading.load(runs / "model", "cpu", "float32"), GenerationSpec("a fish is sleeping", frames=2, steps=2)
    with dit_file.using(pipe, runs / "weights" / "dit.safetensors"):
        assert generate(pipe, spec).frames.shape == (2, 64, 64, 3)
    found = stages.probe(stages.Plan.quick(runs, runs / "model"), stages._dit_task)
    assert found["adherence"]["all four"]["n"] == 2


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
    for stage in ("latents", "unet", "export"):
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
    manifests.check(plan.out)


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
    with pytest.raises(ValueError, match="stage='gan' is unknown.* judge, clip, segmenter, vae, latents"):
        stages.main(["gan"])


# --- ended from outside


PAUSED = """
import sys, time
from pathlib import Path
from t2v_helpers import cli
from t2v_helpers.training import autoencoder, loop

runs, moment = sys.argv[1:]
autoencoder.WIDTHS = (8, 8, 8, 8)
loop.train.__defaults__ = (1,)  # a checkpoint after each step
work, calls = getattr(loop, moment), []

def pause_in_the_second(*given, **named):
    work(*given, **named)
    calls.append(1)
    if len(calls) == 2:
        Path(runs, "here").touch()
        time.sleep(99)

setattr(loop, moment, pause_in_the_second)
sys.exit(cli.main(["train", "vae", "--quick", "--runs", runs]))
"""
DONE = {"save_file": "1", "save": "2"}  # what is called as the signal comes -> the steps in the checkpoint after it


def steps_done(folder):
    with safe_open(folder / "checkpoint.safetensors", "pt") as file:
        assert len(file.keys()) == int(file.metadata()["tensors"])
        return file.metadata()["done"]


@pytest.mark.skipif(os.name != "posix", reason="there are no such signals")
@pytest.mark.parametrize(
    "name, moment", [(signal.SIGINT, "save"), (signal.SIGTERM, "save_file"), (signal.SIGKILL, "save_file")]
)
def test_a_training_ended_by_a_signal_says_one_word_and_goes_on(tmp_path, name, moment):
    running = subprocess.Popen(
        [sys.executable, "-c", PAUSED, tmp_path, moment], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while not (tmp_path / "here").exists():
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.1)
    os.killpg(running.pid, name)
    said, folder = running.communicate()[0], tmp_path / "quick" / "vae"
    killed = name == signal.SIGKILL
    assert running.returncode == (-name if killed else 130) and said.endswith("t2v: stopped.\n") == (not killed), said
    assert "Traceback" not in said and len(said.splitlines()) < 9
    assert steps_done(folder) == DONE[moment] and bool(list(folder.glob(".*"))) == killed
    assert stages.main(["vae", "--quick", "--runs", str(tmp_path)]) == 0
    assert steps_done(folder) == "4" and sorted(os.listdir(folder)) == ["checkpoint.safetensors", "log.jsonl"]
