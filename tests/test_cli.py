import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
import warnings

import cv2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import t2v_helpers
from t2v_helpers import cli
from t2v_helpers.core import arguments, video
from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.core.seeding import MAX_SEED
from t2v_helpers.machine import probe
from t2v_helpers.machine.probe import TorchFacts
from t2v_helpers.model import dtype_trials, loading, lora
from t2v_helpers.model.later import wan
from t2v_helpers.model.loading import MAX_FRAMES

PROMPT = "a dog is dancing on the moon"
COMMANDS = (*(command.__name__ for command in cli.COMMANDS), *cli.MODULES)
PRINTS_JSON = (*(command.__name__ for command in cli.COMMANDS), "sweep", "run", "bench")


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
    assert err.count("\n") == 1 and "Traceback" not in err and "[Errno" not in err
    assert len(err) < arguments.LONGEST + 200
    return err


def test_help_names_every_command_and_is_quick():
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "t2v_helpers.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and all(command in done.stdout for command in COMMANDS)
    assert time.perf_counter() - began < 2


def test_help_loads_no_library():
    code = "import sys, t2v_helpers.cli as c; c.parser().format_help(); print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize("option", ["scheduler", "steps", "frames"])
def test_the_help_says_the_defaults_of_a_spec(option, t2v):
    _, out, _ = t2v("generate", "--help")
    said = re.search(rf"\n  --{option} (.*?)\n  -", out, re.DOTALL)[1]
    assert f"({getattr(GenerationSpec, option)})" in said


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


def test_generate_names_the_file_after_what_was_asked(t2v, toy_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert t2v("generate", PROMPT, "--model", toy_folder, "--device", "cpu", "--steps", 1, "--frames", 1)[0] == 0
    name = "a-dog-is-dancing-on-the-moon-seed-0-steps-1-frames-1-model-toy"
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {name + suffix for suffix in cli.SUFFIXES}


def test_generate_fast_wants_a_model_with_a_student(generate, tmp_path):
    assert "has no student: leave out fast" in refused(generate(PROMPT, "--fast"))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def sepia(toy_folder, tmp_path):
    """The folder of a LoRA that teaches the toy a word."""
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    for p in lora.add(pipe):
        p.data.fill_(0.1)
    return lora.save(pipe, tmp_path / "sepia", ["sepia"])


def test_generate_takes_a_lora_and_its_word(generate, tmp_path, sepia):
    hashes = set()
    for words in ([], ["--lora", sepia]):
        assert generate(PROMPT, *words)[0] == 0
        hashes.add(GenerationRecord.load(tmp_path / "a.mp4").frames_sha256)
    assert len(hashes) == 2
    assert generate(f"{PROMPT} in sepia style", "--lora", sepia)[0] == 0
    assert GenerationRecord.load(tmp_path / "a.mp4").model == "toy with sepia"


def test_generate_names_the_file_after_its_lora(t2v, toy_folder, tmp_path, sepia, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--model", toy_folder, "--device", "cpu", "--steps", 1, "--frames", 1, "--lora", "sepia")
    assert t2v("generate", PROMPT, *words)[0] == 0
    (path,) = (tmp_path / "outputs").glob("*.mp4")
    assert path.stem.endswith("-sepia")


def test_generate_names_the_video_of_another_model_of_the_same_name_anew(t2v, toy_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    pipe.unet.conv_in.bias.data += 0.1
    pipe.save_pretrained(tmp_path / "toy")
    for model in (toy_folder, toy_folder, "toy/"):
        assert t2v("generate", PROMPT, "--model", model, "--device", "cpu", "--steps", 1, "--frames", 1)[0] == 0
    found = [GenerationRecord.load(path).weights for path in (tmp_path / "outputs").glob("*.mp4")]
    assert len({*found}) == len(found) == 2


def test_generate_refuses_what_is_no_lora(generate, tmp_path):
    assert "is not a folder: give a folder that lora.save" in refused(generate(PROMPT, "--lora", tmp_path / "no"))
    assert "is no LoRA" in refused(generate(PROMPT, "--lora", tmp_path))


def test_another_video_has_another_name_and_no_name_is_too_long():
    changes = [{}, {"seed": 1}, {"steps": 5}, {"guidance": 4.5}, {"guidance": 45.0}, {"negative_prompt": "a cat"},
               {"scheduler": "ddim"}, {"scheduler": "dpm++_2s"}, {"scheduler": "dpm++_sde"}]  # fmt: skip
    specs = [GenerationSpec(**{"prompt": PROMPT} | change) for change in changes]
    specs += [
        GenerationSpec(prompt)
        for prompt in ("", "\U0001f415", "\U0001f408", "\ud83d", "a, b", "a b", "\U00020000" * 300)
    ]
    names = [cli._name("cartoon", spec) for spec in specs] + [cli._name("modelscope", specs[0])]
    assert names[0] == "a-dog-is-dancing-on-the-moon-seed-0" and len(set(names)) == len(names)
    assert max(len(f"{name}.json".encode()) for name in names) <= 255


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("seed", f"0 to {MAX_SEED} ({GenerationSpec.seed})"),
        ("scheduler", f"({GenerationSpec.scheduler})"),
        ("steps", f"1 to 1000 ({GenerationSpec.steps})"),
        ("frames", f"1 to {MAX_FRAMES} ({GenerationSpec.frames})"),
    ],
)
def test_the_help_says_the_true_defaults_and_ranges(t2v, option, words):
    told = " ".join(t2v("generate", "--help")[1].partition("options:")[2].split())
    assert words in re.search(rf"--{option} {option.upper()} (.*?) --", told)[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((PROMPT, "--steps", 0), "steps=0 "),
        ((PROMPT, "--guidance", "nan"), "guidance=nan "),
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
        ((PROMPT, "-o", "a.gif"), "--out='a.gif' does not end in .mp4: give the file that ending."),
        ((PROMPT, "-o", ""), "argument -o/--out: '' is not a name: give one, or leave the option out"),
        ((PROMPT, "-o", "a" * 251 + ".mp4"), "is a name of more than 255 bytes: choose a shorter one."),
        ((PROMPT, "--device", "gpu"), "device='gpu' is unknown"),
        ((PROMPT, "--model", ""), "model='' is unknown"),
        ((PROMPT, "--step", 1), "unrecognized arguments: --step 1"),
        ((PROMPT, "--steps", "many"), "argument --steps: invalid int value: 'many'"),
        ((PROMPT, "--stepz", 3), "unrecognized arguments: --stepz 3"),
        ((), "the following arguments are required: prompt (`"),
        (("--steps", 1), "the following arguments are required: prompt (`"),
        (("-dog", "--steps", 1), 'required: prompt; if -dog is what to show, write it last: -- "-dog" (`'),
        (("--steps", 0, "--", "-dog"), "steps=0 "),
    ],
)
def test_generate_refuses_before_a_model_is_loaded(t2v, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(t2v("generate", *words))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", cli.SUFFIXES)
def test_generate_refuses_a_folder_in_the_place_of_one_of_its_files(generate, tmp_path, suffix):
    (tmp_path / "a").with_suffix(suffix).mkdir()
    assert f"a{suffix} is a folder: give the name of a file in it." in refused(generate(PROMPT))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("name", "why"), [("a.json", "not JSON"), ("a.png", "a.json does not exist")])
def test_generate_replaces_no_other_programs_files(generate, tmp_path, name, why):
    (tmp_path / name).write_text("mine")
    err = refused(generate(PROMPT))
    assert "would replace a.png and a.json, which are not a video's filmstrip and record" in err and why in err
    assert (tmp_path / name).read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_generate_replaces_its_own_files(generate, tmp_path):
    assert [generate(PROMPT, "--seed", seed)[0] for seed in (1, 2)] == [0, 0]
    assert GenerationRecord.load(tmp_path / "a.mp4").spec.seed == 2


def test_an_error_of_the_system_names_the_file(t2v, tmp_path):
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'}" in refused(t2v("generate", PROMPT, "-o", tmp_path / "file" / "b" / "a.mp4"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=st.text(max_size=60).filter(lambda text: not text.startswith("-")))
def test_any_unicode_gives_a_video_or_one_sentence(toy_pipe, monkeypatch, tmp_path, capsys, prompt):
    monkeypatch.setattr("t2v_helpers.model.loading.load", lambda *words, **more: toy_pipe)
    status = cli.main(["generate", prompt, "--steps", "1", "--frames", "1", "-o", str(tmp_path / "a.mp4")])
    err = capsys.readouterr().err
    assert status == 0 or (status == 2 and err.count("\n") == 1 and err.startswith("t2v: "))


def test_generate_in_so_much_memory_tells_what_it_chose(t2v, tmp_path):
    words = ("generate", PROMPT, "--steps", 1, "--frames", 2, "--device", "cpu", "-o", tmp_path / "a.mp4")
    status, out, err = t2v(*words, "--memory", "1GiB")
    assert status == 0 and "a.mp4: " in out
    assert err.count("2 frames of 64x64 in 1.0 GiB of memory:") == 1  # by loading.load
    assert "float32  <- the first that fits, and taken" in err


@pytest.mark.parametrize(
    "memory, said",
    [
        ("100MiB", "memory=100 MiB is too little for 16 frames of 64x64: the least is"),
        ("a lot", "memory='a lot' is not a size"),
    ],
)
def test_memory_that_is_too_little_or_none(t2v, tmp_path, memory, said):
    assert said in refused(t2v("generate", PROMPT, "--memory", memory, "-o", tmp_path / "a.mp4"))


@pytest.mark.parametrize("memory", ["100MiB", "a lot"])
def test_an_error_names_the_variable_that_asked_for_the_memory(t2v, tmp_path, monkeypatch, memory):
    monkeypatch.setenv("T2V_MEMORY", memory)
    asked = ("generate", PROMPT, "--device", "cpu", "-o", tmp_path / "a.mp4")
    assert refused(t2v(*asked)).endswith(" (The variable T2V_MEMORY asks for this memory.)\n")
    assert "T2V_MEMORY" not in refused(t2v(*asked, "--memory=little"))
    assert "T2V_MEMORY" not in refused(t2v(*asked, "--model", "carton"))


@pytest.mark.parametrize("memory", [(), ("--memory", "1GiB")])
def test_frames_out_of_range_are_refused_in_the_same_words_with_memory_and_without(t2v, tmp_path, memory):
    asked = ("generate", PROMPT, "--frames", 0, "-o", tmp_path / "a.mp4")
    assert "frames=0 is not allowed: use a whole number from 1 to 200." in refused(t2v(*asked, *memory))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words, said",
    [
        (("--height", 100), "height=100 is not a multiple of 64 pixels: use 64 or 128"),
        (("--width", 2048), "width=2048 is not allowed: use a whole number from 64 to 1024"),
        (("--frames", 201), "frames=201 is not allowed: use a whole number from 1 to 200"),
        (("--scheduler", "best"), "scheduler='best' is unknown"),
        (("--guidance", 0), "guidance=0.0 is not allowed"),
        (("--seed", -1), "seed=-1 is not allowed: use a whole number from 0"),
    ],
)
def test_what_is_wrong_is_told_before_the_real_model_is_fetched(t2v, tmp_path, monkeypatch, words, said):
    monkeypatch.setattr("t2v_helpers.model.hub.fetched", None)  # nothing is asked of it
    asked = ("generate", PROMPT, "--model", "modelscope", "-o", tmp_path / "a.mp4")
    assert said in refused(t2v(*asked, *words))


def test_wan_makes_a_video_by_one_word(t2v, wan_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(wan, "fetch", lambda *_: wan_folder)
    monkeypatch.setattr(wan, "free_memory_bytes", lambda: 2**40)
    monkeypatch.chdir(tmp_path)
    small = ("--steps", 1, "--frames", 1, "--height", 16, "--width", 16)
    status, out, err = t2v("generate", PROMPT, "--model", "wan", "--device", "cpu", "--seed", 3, *small)
    assert status == 0 and "denoising" in err
    (path,) = (tmp_path / "outputs").glob("*.mp4")
    record = GenerationRecord.load(path)
    assert str(path.relative_to(tmp_path)) in out and path.stem.endswith("model-wan")
    assert (record.model, record.spec.scheduler, record.spec.seed) == ("wan", "unipc", 3)


@pytest.mark.parametrize("words, said", [
    (("--fast",), "fast works on a UNet, and wan has none"), (("--memory", "8GiB"), "memory works on a UNet"),
    (("--lora", "sepia"), "lora works on a UNet"), (("--frames", 16), "frames=16 is not 1 more than a multiple of 4"),
    (("--scheduler", "ddim"), "scheduler='ddim' is unknown: Wan keeps"), (("--dtype", "float16"), "dtype='float16'"),
])  # fmt: skip
def test_what_wan_does_not_take_is_told_before_it_is_fetched(t2v, tmp_path, monkeypatch, words, said):
    monkeypatch.setattr(wan, "fetch", None)
    assert said in refused(t2v("generate", PROMPT, "--model", "wan", "-o", tmp_path / "a.mp4", *words))
    assert not list(tmp_path.iterdir())


def test_other_commands_say_who_takes_wan(t2v):
    assert "model='wan' has no UNet" in refused(t2v("trace", "wan"))
    assert "not allowed with argument" in refused(t2v("download", "--model", "wan", "--dtype", "float32"))


# --- info and world


def test_info_prints_the_environment(t2v):
    status, out, _ = t2v("info", "--quick")
    assert status == 0 and "torch build" in out and "Tried" not in out


def test_info_says_what_to_set_on_an_amd_gpu(t2v, monkeypatch):
    found = TorchFacts("ROCm 7.2", count=1, name="AMD Instinct MI300X", gfx="gfx942", memory_bytes=192 * 2**30)
    monkeypatch.setattr(probe, "look_at_torch", lambda: found)
    out = t2v("info", "--quick")[1]
    assert "device       cuda (AMD Instinct MI300X gfx942, 192.0 GiB)" in out and "MIOPEN_FIND_MODE" in out
    told = json.loads(t2v("info", "--quick", "--json")[1])
    assert {"name", "now", "wanted", "fits", "why", "source"} == set(told["settings"][0]) and told["trials"] == []


def test_info_tells_what_was_tried(t2v, monkeypatch):
    tried = [dtype_trials.Trial("float16", "works", {"along a frame": "math"}, "works")]
    monkeypatch.setattr(dtype_trials, "run", lambda: iter(tried))
    out = t2v("info")[1]
    assert "Tried:\nfloat16   layers: works; attention: math along a frame" in out and "runs by math" in out
    told = json.loads(t2v("info", "--json")[1])
    assert told["trials"][0]["attention"] == {"along a frame": "math"} and "runs by math" in told["advice"][0]
    monkeypatch.setattr(dtype_trials, "run", lambda: iter(()))
    assert t2v("info")[1].endswith("All of it works.\n")


def test_info_where_a_library_is_missing(t2v, monkeypatch):
    monkeypatch.setitem(sys.modules, "t2v_helpers.model.dtype_trials", None)
    monkeypatch.delattr(t2v_helpers.model, "dtype_trials", raising=False)
    status, out, err = t2v("info")
    assert status == 0 and "torch build" in out and "Nothing could be tried" in err and "fix the above" in err


@pytest.fixture
def without_torch(tmp_path):
    """Run a command where torch does not load, with the error of that name: (exit status, stdout, stderr)."""
    (tmp_path / "torch").mkdir()
    missing = "libamdhip64.so.6: cannot open shared object file: No such file or directory"

    def run(error: str, *words: str):
        (tmp_path / "torch" / "__init__.py").write_text(f"raise {error}({missing!r})")
        call = [sys.executable, "-m", "t2v_helpers.cli", *words]
        done = subprocess.run(call, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_a_torch_that_does_not_load_leads_to_info_and_info_to_what_to_mend(without_torch, error):
    said = "libamdhip64.so.6: cannot open shared object file: No such file or directory"
    for words in (["trace", "cartoon"], ["sweep", "--prompt", "a dog"]):
        assert refused(without_torch(error, *words)) == f"t2v: {said} (`t2v info` says more)\n"
    status, out, err = without_torch(error, "info")
    assert status == 0 and f"1. torch cannot be imported: {said}\n   -> " in out
    assert f"Nothing could be tried ({error}: {said}): fix the above first." in err


def test_info_lists_the_memory_that_a_variable_asks_for_and_says_where_it_is_no_size(t2v, monkeypatch):
    monkeypatch.delenv("T2V_MEMORY", raising=False)
    assert "T2V_MEMORY" not in t2v("info", "--quick")[1]
    monkeypatch.setenv("T2V_MEMORY", "8GiB")
    status, out, _ = t2v("info", "--quick")
    assert status == 0 and "\nT2V_MEMORY   8GiB\n" in out and "is not a size" not in out
    monkeypatch.setenv("T2V_MEMORY", "bad")
    status, out, _ = t2v("info", "--quick")
    assert status == 0 and "T2V_MEMORY is not a size\n   -> unset it" in out and "memory='bad'" in out
    found = json.loads(t2v("info", "--quick", "--json")[1])
    assert found["t2v_memory"] == "bad" and found["problems"][-1]["what"].endswith("T2V_MEMORY is not a size")


@pytest.mark.parametrize("build, count", [("none", 0), ("CPU", 1)])
def test_a_size_is_looked_at_where_torch_loads(build, count):
    found = cli._further_problems(types.SimpleNamespace(t2v_memory="bad", build=build))
    assert sum("T2V_MEMORY" in problem.what for problem in found) == count


def test_info_as_json(t2v):
    found = json.loads(t2v("info", "--json", "--quick")[1])
    assert found["device"] in ("cpu", "cuda") and found["versions"]["torch"]


def test_json_has_no_nan(capsys):
    cli._print({"a": [float("nan"), 1.5], "b": "x"})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5], "b": "x"}


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
        (("--count", 0), "argument --count: '0' is not allowed: give a whole number from 1 to 50"),
        (("--count", 10**30), "give a whole number from 1 to 50"),
        (("--columns", 0), "argument --columns: '0' is not allowed: give a whole number from 1 to 50"),
        (("--split", "test"), "split='test' is unknown: Use one of: train, held_out, all."),
        (("-o", "w.bmp"), "--out='w.bmp' does not end in .png or .gif or .mp4: give the file that ending."),
        (("-o", ""), "'' is not a name"),
        (("--seed", -1), "seed"),
    ],
)
def test_world_refuses_bad_input(t2v, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(t2v("world", "--count", 1, *words))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "words"), [("w.jpg", "does not end in"), ("w.png", "is a folder")])
def test_world_looks_at_its_file_before_it_draws(t2v, tmp_path, monkeypatch, name, words):
    (tmp_path / "w.png").mkdir()
    monkeypatch.setattr("t2v_helpers.cartoon.item", lambda *_, **__: pytest.fail("drawing began before the check"))
    assert words in refused(t2v("world", "-o", tmp_path / name))


def test_the_longest_sheet_fits_into_a_video(t2v, tmp_path):
    words = ("--count", cli.MOST_CLIPS, "--columns", 1, "-o", tmp_path / "w.mp4")  # with the labels the longest
    assert t2v("world", *words)[0] == 0
    assert max(video.read_mp4(tmp_path / "w.mp4").shape[1:3]) > 256 * cli.MOST_CLIPS


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
        (("cartoon", "--frames", 0), "frames=0 is not allowed: use a whole number from 1"),
        (("cartoon", "--height", 60), "height=60 is not a multiple of 16 pixels: use 48 or 64"),
    ],
)
def test_trace_refuses_bad_input(t2v, words, sentence):
    assert sentence in refused(t2v("trace", *words))


@pytest.mark.parametrize("command", cli.MODULES)
def test_a_command_with_a_module_of_its_own_gets_its_words_and_gives_its_status(t2v, monkeypatch, command):
    given = []
    module = types.SimpleNamespace(main=lambda words: given.extend(words) or 1)
    monkeypatch.setitem(sys.modules, f"t2v_helpers.{cli.MODULES[command][0]}", module)
    assert t2v(command, "--json", "x")[0] == 1 and given == ["--json", "x"]


@pytest.mark.parametrize("command", cli.MODULES)
def test_a_command_with_a_module_of_its_own_says_one_sentence(t2v, command):
    err = refused(t2v(command, "--nonsense"))
    assert err.startswith(f"t2v {command}: ") and f"(`t2v {command} --help` says more)" in err


@pytest.mark.parametrize(("words", "unknown"), [(("sweep", "--prompt", "a dog", "--seed", 3), "--seed 3"),
                                                (("run", "--output", "x"), "--output"),
                                                (("world", "--col", 3), "--col 3")])  # fmt: skip
def test_no_option_is_known_by_a_part_of_its_name(t2v, words, unknown):
    assert f"unrecognized arguments: {unknown}" in refused(t2v(*words))


@pytest.mark.parametrize("words", [("sweep", "--prompt", "a dog", "--out", ""), ("run", "--outputs", " ")])
def test_an_empty_name_is_not_taken_for_the_current_folder(t2v, words):
    assert "is not a name: give one, or leave the option out" in refused(t2v(*words))


def test_whole_numbers_have_their_bounds():
    assert (arguments.whole(7)("7"), arguments.whole()("1" + "0" * 30)) == (7, 10**30)
    for text in ("0", "8", "-1", "1.5", "nan", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is not allowed: give a whole number from 1 to 7"):
            arguments.whole(7)(text)
    with pytest.raises(argparse.ArgumentTypeError, match="' ' is not a name: give one"):
        arguments.path(" ")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
@pytest.mark.parametrize("words", [("info",), ("world", "--count", "1", "-o", "{folder}/w.png")])
def test_a_reader_who_has_seen_enough_ends_the_command_silently(tmp_path, words):
    call = [sys.executable, "-m", "t2v_helpers.cli", *(word.format(folder=tmp_path) for word in words)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(call, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(t2v, command):
    status, out, _ = t2v(command, "--help")
    assert status == 0 and f"t2v {command}" in out


@pytest.mark.parametrize("command", PRINTS_JSON)
def test_every_command_with_a_result_has_json(t2v, command):
    assert "--json" in t2v(command, "--help")[1]


def test_run_without_notebooks_is_refused(t2v, tmp_path):
    assert "holds no notebook: run this from the root of the course." in refused(t2v("run", "--notebooks", tmp_path))


def test_numbers_that_are_none_end_in_one_sentence(t2v, monkeypatch):
    def diverge(words):
        raise FloatingPointError("the loss is not finite")

    monkeypatch.setitem(sys.modules, "t2v_helpers.training.stages", types.SimpleNamespace(main=diverge))
    assert refused(t2v("train")) == "t2v: the loss is not finite\n"


def test_stopping_is_no_traceback(t2v, monkeypatch):
    def stop(words):
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "t2v_helpers.studies.release", types.SimpleNamespace(main=stop))
    assert t2v("bench") == (130, "", "t2v: stopped.\n")


def test_no_command_and_an_unknown_one_are_refused(t2v):
    assert "the following arguments are required: COMMAND" in refused(t2v())
    assert "invalid choice: 'paint'" in refused(t2v("paint"))


def test_an_error_without_words_still_says_its_name():
    assert cli.sentence(MemoryError()) == "MemoryError."


def test_a_missing_library_is_named(t2v, monkeypatch):
    monkeypatch.setitem(sys.modules, "t2v_helpers.machine.doctor", None)
    monkeypatch.delattr(t2v_helpers.machine, "doctor", raising=False)
    assert "doctor" in refused(t2v("info"))


# --- before a model is loaded, and at the end


@pytest.fixture
def unloaded(t2v, tmp_path, monkeypatch):
    """t2v in an empty folder, where no weights may be read."""
    monkeypatch.chdir(tmp_path)
    for name in ("_open", "_open_modelscope"):
        monkeypatch.setattr(loading, name, lambda *_: pytest.fail("the model was loaded"))
    return t2v


EARLY = [  # options or a prompt, and what is said
    (("--steps", 0), "steps=0 "), (("--steps", 1001), "steps=1001 "), (("--steps", 1e3), "--steps: invalid int"),
    (("--scheduler", "ddim", "--steps", 1), "start at time 1"), (("--scheduler", "nope"), "scheduler='nope'"),
    (("--scheduler", "lcm"), "distilled"), (("--scheduler", "FlowMatchLCM"), "flow matching"),
    (("--guidance", 0), "guidance=0.0 "), (("--guidance", "nan"), "guidance=nan "),
    (("--guidance", 101), "guidance=101"),
    (("--height", 65), "height=65"), (("--width", 0), "width=0"), (("--height", 2048), "height=2048"),
    (("--frames", 0), "frames=0"), (("--frames", 201), "frames=201"), (("--device", "gpu"), "device='gpu'"),
    (("--device", "cuda:99"), "device='cuda:99'"), (("--dtype", "int8"), "dtype='int8'"),
    (("--negative-prompt", "a tractor"), "does not know 'tractor'"), (("--model", "carton"), "did you mean 'cartoon'"),
    (("--model", "./nowhere"), "is no folder"), (("--model", "modelscope", "--steps", 0), "steps=0 "),
    (("--model", "modelscope", "--scheduler", "lcm"), "distilled"), ("", "prompt is empty"), (" ", "prompt is empty"),
    ("a unicorn", "does not know 'unicorn'"), ("a (dog:1.3)", "weights of words"), ("a dog " * 40, "words fall off"),
    ("a d\ud800og", "half of a character"), ("a do\u200bg", "U+200B, unseen"),
]  # fmt: skip


@pytest.mark.parametrize("command", ["generate", "sweep"])
@pytest.mark.parametrize(("given", "said"), EARLY)
def test_both_refuse_before_a_model_is_loaded(unloaded, tmp_path, command, given, said):
    prompt, options = (given, ()) if isinstance(given, str) else (PROMPT, given)
    assert said in refused(unloaded(command, *(("--prompt",) if command == "sweep" else ()), prompt, *options))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("generate", ("--seed", -1), "seed=-1 "),
        ("generate", ("--seed", 2**32), "seed=4294967296 "),
        ("generate", ("--memory", "lots"), "memory='lots' is not a size"),
        ("generate", ("--memory", "1MiB"), "memory=1 MiB is too little"),
        ("generate", ("--lora", "nowhere"), "nowhere is not a folder"),
        ("generate", ("--lora", "."), "is no LoRA, adapter_config.json is missing"),
        ("generate", ("-o", "a.gif"), "does not end in .mp4"),
        ("sweep", ("--seeds", 0), "'0' is not allowed"),
        ("sweep", ("--batch", "x"), "'x' is not allowed"),
        ("sweep", ("--steps", 4, 4), "the same video 2 times"),
        ("sweep", ("--seeds", 100_000, "--steps", 4, 5), "the grid has 200,000 videos"),
        ("sweep", ("-o", "/dev/null"), "/dev/null is a device or a pipe"),
        ("sweep", ("-o", "/etc"), "has files, but no sweep.json"),
    ],
)
def test_each_refuses_before_a_model_is_loaded(unloaded, tmp_path, command, options, said):
    prompt = ("--prompt", PROMPT) if command == "sweep" else (PROMPT,)
    assert said in refused(unloaded(command, *prompt, *options))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["generate", "sweep"])
def test_a_memory_that_is_no_size_is_refused_before_a_model_is_loaded(unloaded, monkeypatch, command):
    monkeypatch.setenv("T2V_MEMORY", "lots")
    prompt = ("--prompt", PROMPT) if command == "sweep" else (PROMPT,)
    assert "memory='lots' is not a size" in refused(unloaded(command, *prompt))


def test_a_lora_of_another_model_is_refused_before_a_model_is_loaded(toy_folder, tmp_path, t2v, request):
    pipe = loading.load(toy_folder, device="cpu")
    lora.add(pipe, rank=2)
    lora.save(pipe, tmp_path / "sepia", ["sepia"])
    unloaded = request.getfixturevalue("unloaded")
    for model in ("cartoon", "modelscope"):
        words = ("a dog is dancing in sepia", "--model", model, "--lora", tmp_path / "sepia")
        assert "the LoRA was made for 'toy', and this is" in refused(unloaded("generate", *words))


def test_a_weighted_word_is_named_as_what_it_is(generate):
    assert "'(dog:1.3)' is not allowed: weights of words" in refused(generate("a (dog:1.3) is dancing"))


@pytest.mark.parametrize(("environment", "closed"), [({"PYTHONIOENCODING": "ascii"}, ""), ({}, ">&-"), ({}, "2>&-")])
def test_a_terminal_of_ascii_or_none_ends_as_any_other(toy_folder, tmp_path, environment, closed):
    options = f"--model {toy_folder} --device cpu --steps 1 --frames 1 --height 16 --width 16 -o"
    command = f"{sys.executable} -m t2v_helpers.cli generate 'a dog is dancing' {options} {tmp_path}/é.mp4 {closed}"
    done = subprocess.run(["sh", "-c", command], env=os.environ | environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in tmp_path.iterdir()} == set(cli.SUFFIXES)


def test_what_cannot_be_printed_is_told_as_that_and_what_cannot_be_shown_ends_no_run(tmp_path):
    command = f"{sys.executable} -m t2v_helpers.cli world --count 1 -o {tmp_path}/w.png --json"
    full, unseen = (
        subprocess.run(["sh", "-c", f"{command} {to}"], capture_output=True, text=True)
        for to in (">/dev/full", "2>/dev/full >&2")
    )
    said = "the output cannot be printed (No space left on device), but each file that was written is kept"
    assert (full.returncode, full.stderr) == (2, f"t2v: {said}: print to another place.\n")
    assert unseen.returncode == 2 and cv2.imread(str(tmp_path / "w.png")) is not None


def test_a_warning_is_one_line_and_shown_once(t2v, monkeypatch):
    def warn(words):
        for line in ("steps=1 is few", "steps=1 is few", "and so\nis 2"):
            warnings.warn(line, stacklevel=1)
        return 0

    monkeypatch.setitem(sys.modules, "t2v_helpers.training.stages", types.SimpleNamespace(main=warn))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert t2v("train") == (0, "", "t2v: warning: steps=1 is few\nt2v: warning: and so is 2\n")


def test_a_bar_that_cannot_be_shown_ends_no_run(toy_folder, tmp_path):
    options = f"--model {toy_folder} --device cpu --steps 1 --frames 1 --height 16 --width 16 -o"
    command = f"{sys.executable} -m t2v_helpers.cli generate 'a dog is dancing' {options} {tmp_path}/a.mp4 2>/dev/full"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and "a.mp4: " in done.stdout


def test_a_full_disk_is_named_in_words():
    error = OSError(28, "the disk is full, so a.mp4 was not written")
    assert cli.sentence(error) == "the disk is full, so a.mp4 was not written."
    assert cli.sentence(ValueError("x" * 10**5)).count("x") <= arguments.LONGEST
