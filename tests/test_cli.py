import json
import subprocess
import sys
import time
import types

import cv2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import t2v_helpers
from t2v_helpers import cli, video
from t2v_helpers.records import GenerationRecord

PROMPT = "a dog is dancing on the moon"
COMMANDS = ("generate", "info", "world", "trace", "sweep", "run", "train", "bench")


@pytest.fixture
def t2v(capsys):
    """Run a command: (exit status, stdout, stderr)."""

    def run(*words):
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def generate(t2v, toy_folder, tmp_path):
    """`t2v generate` with the toy model, on the CPU, in two steps."""
    small = ("--model", toy_folder, "--device", "cpu", "--steps", 2, "--frames", 2, "-o", tmp_path / "a.mp4")
    return lambda *words: t2v("generate", *small, *words)


def refused(result) -> str:
    """The one sentence on stderr of a command that was refused."""
    status, out, err = result
    assert status == 2 and out == ""
    assert err.count("\n") == 1 and "Traceback" not in err
    return err


def test_help_names_every_command_and_is_quick():
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "t2v_helpers.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and all(command in done.stdout for command in COMMANDS)
    assert time.perf_counter() - began < 2


def test_help_loads_no_library():
    code = "import sys, t2v_helpers.cli as c; c.parser().format_help(); print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# --- generate


def test_generate_writes_the_video_its_record_and_a_filmstrip(generate, tmp_path):
    status, out, err = generate(PROMPT, "--seed", 7, "--scheduler", "ddim")
    assert status == 0 and str(tmp_path / "a.mp4") in out and "a.json" in out
    assert len(video.read_mp4(tmp_path / "a.mp4")) == 2
    assert cv2.imread(str(tmp_path / "a.png")) is not None
    spec = GenerationRecord.load(tmp_path / "a.mp4").spec
    assert (spec.prompt, spec.seed, spec.scheduler, spec.steps, spec.frames) == (PROMPT, 7, "ddim", 2, 2)
    assert "denoising" in err


def test_generate_prints_json_and_nothing_else(generate, tmp_path):
    _, out, _ = generate(PROMPT, "--json", "--guidance", 2, "--negative-prompt", "a cat")
    found = json.loads(out)
    assert found["path"] == str(tmp_path / "a.mp4")
    assert found["record"] == json.loads((tmp_path / "a.json").read_text())
    assert found["record"]["spec"]["guidance"] == 2 and found["record"]["spec"]["negative_prompt"] == "a cat"


def test_generate_names_the_file_after_the_words(t2v, toy_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert t2v("generate", PROMPT, "--model", toy_folder, "--device", "cpu", "--steps", 1, "--frames", 1)[0] == 0
    assert (tmp_path / "outputs" / "a-dog-is-dancing-on-the-moon-0.mp4").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((PROMPT, "--steps", 0), "steps=0 is out of range"),
        ((PROMPT, "--guidance", "nan"), "guidance=nan is out of range"),
        ((PROMPT, "--height", 65), "height=65"),
        ((PROMPT, "--seed", -1), "seed"),
        ((PROMPT, "--scheduler", "magic"), "magic"),
        ((PROMPT, "--device", "toaster"), "toaster"),
        (("",), "prompt is empty"),
        (("a unicorn is dancing",), "does not know 'unicorn': it knows a, an, "),
        ((PROMPT, "--negative-prompt", "a tractor"), "does not know 'tractor'"),
        (("a dog " * 40,), "so these words fall off"),
    ],
)
def test_generate_refuses_bad_input_in_one_sentence(generate, tmp_path, words, sentence):
    assert sentence in refused(generate(*words))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((PROMPT, "--model", "carton"), "did you mean 'cartoon'?"),
        ((PROMPT, "--model", "./nowhere"), "is no folder"),
        ((PROMPT, "-o", "a.gif"), "--out 'a.gif' does not end in .mp4: give the video's file that ending."),
        ((PROMPT, "--steps", "many"), "argument --steps: invalid int value: 'many'"),
        ((PROMPT, "--stepz", 3), "unrecognized arguments: --stepz 3"),
        ((), "the following arguments are required: prompt"),
    ],
)
def test_generate_refuses_before_a_model_is_loaded(t2v, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(t2v("generate", *words))


def test_an_error_of_the_system_names_the_file(t2v, tmp_path):
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'}" in refused(t2v("generate", PROMPT, "-o", tmp_path / "file" / "b" / "a.mp4"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=st.text(max_size=60).filter(lambda text: not text.startswith("-")))
def test_any_unicode_gives_a_video_or_one_sentence(toy_pipe, monkeypatch, tmp_path, capsys, prompt):
    monkeypatch.setattr("t2v_helpers.models.load", lambda *words: toy_pipe)
    status = cli.main(["generate", prompt, "--steps", "1", "--frames", "1", "-o", str(tmp_path / "a.mp4")])
    err = capsys.readouterr().err
    assert status == 0 or (status == 2 and err.count("\n") == 1 and err.startswith("t2v: "))


# --- info and world


def test_info_prints_the_environment(t2v):
    status, out, _ = t2v("info")
    assert status == 0 and "torch build" in out


def test_info_as_json_has_no_nan(t2v, monkeypatch):
    found = json.loads(t2v("info", "--json")[1])
    assert found["device"] in ("cpu", "cuda") and found["versions"]["torch"]
    assert cli._finite({"a": [float("nan"), 1.5], "b": "x"}) == {"a": [None, 1.5], "b": "x"}


@pytest.mark.parametrize(("name", "read"), [("w.png", cv2.imread), ("w.mp4", video.read_mp4)])
def test_world_draws_a_sheet_and_lists_the_captions(t2v, tmp_path, name, read):
    status, out, _ = t2v("world", "--count", 4, "--columns", 2, "-o", tmp_path / name, "--json")
    assert status == 0 and len(json.loads(out)["captions"]) == 4
    picture = read(str(tmp_path / name))
    assert picture.shape[-3] > 2 * 256 and picture.shape[-2] == 2 * 256 + video.GAP


def test_world_is_a_function_of_its_seed(t2v, tmp_path):
    sheets = [t2v("world", "--count", 3, "--seed", seed, "-o", tmp_path / "w.gif")[1] for seed in (1, 1, 2)]
    assert sheets[0] == sheets[1] != sheets[2]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--count", 0), "--count 0 is out of range: ask for 1 clip or more."),
        (("--columns", 0), "columns=0"),
        (("--split", "test"), "split is 'test', but must be one of: train, held_out, all."),
        (("-o", "w.bmp"), "--out 'w.bmp' ends in '.bmp': give it .png, .gif or .mp4."),
        (("--seed", -1), "seed"),
    ],
)
def test_world_refuses_bad_input(t2v, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(t2v("world", "--count", 1, *words))
    assert list(tmp_path.iterdir()) == []


# --- run, train, bench: modules with a main of their own


# --- trace


def test_trace_prints_the_tables(t2v, toy_folder):
    status, out, _ = t2v("trace", toy_folder, "--frames", 4)
    assert status == 0 and "unet, one guided step, of [2, 8, 4, 8, 8] = [b c f h w]" in out
    assert all(word in out for word in ("text_encoder", "vae, decoding one frame", "temporal conv", "MI300X", "total"))


def test_trace_as_json(t2v, toy_folder, toy_pipe):
    found = json.loads(t2v("trace", toy_folder, "--json")[1])
    unet = found["parts"]["unet"]
    assert unet["total"]["parameters"] == sum(p.numel() for p in toy_pipe.unet.parameters())
    assert found["ideal_step_seconds"]["MI300X"]["fp16"] == pytest.approx(unet["total"]["flops"] / 1307.4e12)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("carton",), "did you mean 'cartoon'?"),
        (("./nowhere",), "is no folder"),
        (("cartoon", "--frames", 0), "frames=0 is out of range: use 1 or more."),
        (("cartoon", "--height", 60), "height=60 is not allowed: use a multiple of 16 pixels."),
    ],
)
def test_trace_refuses_bad_input(t2v, words, sentence):
    assert sentence in refused(t2v("trace", *words))


@pytest.mark.parametrize("command", cli.MODULES)
def test_a_command_with_a_module_of_its_own_gets_its_words_and_gives_its_status(t2v, monkeypatch, command):
    given = []
    module = types.SimpleNamespace(main=lambda words: given.extend(words) or 1)
    monkeypatch.setitem(sys.modules, f"t2v_helpers.{cli.MODULES[command]}", module)
    assert t2v(command, "--json", "x")[0] == 1 and given == ["--json", "x"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(t2v, command):
    status, out, _ = t2v(command, "--help")
    assert status == 0 and f"t2v {command}" in out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "train"])
def test_every_command_with_a_result_has_json(t2v, command):
    assert "--json" in t2v(command, "--help")[1]


def test_run_without_notebooks_is_refused(t2v, tmp_path):
    assert "holds no notebook: run this from the root of the course." in refused(t2v("run", "--notebooks", tmp_path))


def test_stopping_is_no_traceback(t2v, monkeypatch):
    def stop(words):
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "t2v_helpers.bench", types.SimpleNamespace(main=stop))
    assert t2v("bench") == (130, "", "t2v: stopped.\n")


def test_no_command_and_an_unknown_one_are_refused(t2v):
    assert "the following arguments are required: COMMAND" in refused(t2v())
    assert "invalid choice: 'paint'" in refused(t2v("paint"))


def test_an_error_without_words_still_says_its_name():
    assert cli.sentence(MemoryError()) == "MemoryError."


def test_a_missing_library_is_named(t2v, monkeypatch):
    monkeypatch.setitem(sys.modules, "t2v_helpers.environment", None)
    monkeypatch.delattr(t2v_helpers, "environment", raising=False)
    assert "environment" in refused(t2v("info"))
