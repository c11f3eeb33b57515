"""Sweeps: grids in order, the same rows however they are run, and nothing lost to SIGKILL at any point."""

import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import tracemalloc
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from t2v_helpers.core import files, video
from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.model import generate, loading, sweep, validation

SPEC = GenerationSpec("a dog is dancing", steps=2, frames=2, height=16, width=16)
GRID = {"prompt": ["a dog is dancing", "a cat on the moon"], "scheduler": ["ddim", "dpm++"], "seed": range(3)}
SPECS = sweep.expand(SPEC, **GRID)
SMALL = sweep.expand(replace(SPEC, steps=1, frames=1, guidance=1.0), seed=range(6))  # for many starts
KILLS = 15
ONE_THREAD = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else ""}


def comparable(table: Path, but: str = "") -> list[dict]:
    """The rows without what differs between runs."""
    varying = ("seconds", "peak_memory_mib", "device", but)
    return [{name: value for name, value in row.items() if name not in varying} for row in sweep.rows(table)]


def near(path: Path, other: Path) -> bool:
    """Whether two stills differ by a grey level at most, or two compressed videos by one on average."""
    if path.suffix == ".png":
        return np.abs(read_png(path) - read_png(other)).max() <= 1
    return np.abs(video.read_mp4(path).astype(int) - video.read_mp4(other)).mean() <= 1


def read_png(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), dtype=int)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in each of the two processes: with other kernels, frames may differ by a grey level."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def reference(toy_pipe, tmp_path_factory) -> Path:
    """The table of SPECS from one undisturbed process, four at a time."""
    return sweep.run_sweep(toy_pipe, SPECS, tmp_path_factory.mktemp("reference") / "grid", quiet=True)


# --- the grid


def test_expand_takes_every_combination_and_the_last_axis_varies_fastest():
    specs = sweep.expand(SPEC, steps=[2, 4], seed=range(3))
    assert [(spec.steps, spec.seed) for spec in specs] == [(2, 0), (2, 1), (2, 2), (4, 0), (4, 1), (4, 2)]
    assert {replace(spec, steps=2, seed=0) for spec in specs} == {SPEC}
    assert sweep.expand(SPEC) == [SPEC]
    assert sweep.expand(SPEC, seed=(n for n in (5, 3))) == [replace(SPEC, seed=5), replace(SPEC, seed=3)]


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"step": [1]}, "axis='step' .*did you mean 'steps'[?] .*prompt, negative_prompt, seed"),
        ({"colour": ["red"]}, "axis='colour'"),
        ({"seed": []}, "seed has no values"),
        ({"seed": range(0)}, "seed has no values"),
        ({"scheduler": "ddim"}, r"scheduler=\['ddim'\]"),
        ({"steps": 4}, r"steps=\[4\]"),
        ({"steps": [4, "many"]}, "steps='many'"),
        ({"seed": range(10**30)}, "100,000"),
        ({"seed": range(10**6)}, r"1,000,000 videos \(1000000 seed\).* 100,000"),
        ({"steps": range(1, 1001), "seed": range(1000)}, r"1,000,000 videos \(1000 steps x 1000 seed\)"),
        ({"seed": iter(int, 1)}, "100,000"),
    ],
)
def test_expand_refuses(axes, words):
    began = time.perf_counter()
    with pytest.raises(ValueError, match=words):
        sweep.expand(SPEC, **axes)
    assert time.perf_counter() - began < 1, "refused before it was built"


@pytest.mark.parametrize("spec", [None, "a dog is dancing"])
def test_expand_refuses_what_is_not_a_spec(spec):
    with pytest.raises(ValueError, match=f"spec is .*{type(spec).__name__}"):
        sweep.expand(spec, steps=[1])


# --- what is made


def test_a_row_for_each_spec_in_order_with_the_videos_hash(toy_pipe, reference):
    rows = list(sweep.rows(reference))
    assert [GenerationSpec(**row["spec"]) for row in rows] == [validation.resolve(toy_pipe, spec) for spec in SPECS]
    for row, spec in zip(rows, SPECS, strict=True):
        assert row["frames_sha256"] == generate.generate(toy_pipe, spec).record.frames_sha256
        record = GenerationRecord.load(reference.parent / row["video"])
        assert json.loads(record.to_json()) | {"video": row["video"]} == row
    assert len({row["frames_sha256"] for row in rows}) == len(SPECS)


def test_the_folder_holds_three_files_a_video_and_two_more(reference):
    names = {f"{i:05}{suffix}" for i in range(len(SPECS)) for suffix in (".mp4", ".png", ".json")}
    assert set(os.listdir(reference.parent)) == names | {"sweep.json", "table.jsonl"}


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_the_rows_are_the_same_for_any_batch_size(toy_pipe, reference, tmp_path, batch_size):
    table = sweep.run_sweep(toy_pipe, SPECS, tmp_path / "grid", batch_size, quiet=True)
    assert comparable(table) == comparable(reference)


def test_specs_run_in_one_batch_where_only_prompts_and_seed_differ(toy_pipe, tmp_path, monkeypatch):
    batches, make = [], generate.generate_batch
    monkeypatch.setattr(
        generate, "generate_batch", lambda pipe, specs, *rest: batches.append(specs) or make(pipe, specs, *rest)
    )
    sweep.run_sweep(
        toy_pipe, [replace(spec, negative_prompt=spec.prompt) for spec in SPECS], tmp_path / "grid", quiet=True
    )
    assert [len(batch) for batch in batches] == [4, 2, 4, 2]
    assert all(len({spec.scheduler for spec in batch}) == 1 for batch in batches)
    assert len({spec.prompt for spec in batches[0]}) == 2


def test_another_number_of_threads_moves_no_value_by_more_than_one_level(toy_pipe):
    frames = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        made = generate.generate_batch(toy_pipe, SPECS[:3], batch_size=threads)
        frames[threads] = np.stack([one.frames for one in made]).astype(int)
    torch.set_num_threads(1)
    assert abs(frames[1] - frames[2]).max() <= 1


def at_each_decoding(monkeypatch, look) -> None:
    """Call `look` with the latents whenever they are decoded. Another method of the VAE would make another sweep."""
    decode = generate.decode_latents
    monkeypatch.setattr(generate, "decode_latents", lambda pipe, latents: (look(latents), decode(pipe, latents))[1])


def test_what_is_done_is_not_made_again_and_what_is_missing_is(toy_pipe, reference, tmp_path, monkeypatch):
    folder = shutil.copytree(reference.parent, tmp_path / "grid")
    for name in ("00002.mp4", "00005.json", "00007.png", "table.jsonl"):
        (folder / name).unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    decoded = []
    at_each_decoding(monkeypatch, lambda latents: decoded.append(len(latents)))
    table = sweep.run_sweep(toy_pipe, SPECS, folder, quiet=True)
    assert sum(decoded) == 3
    assert comparable(table) == comparable(reference)
    kept = [path for path in before if path.stem not in ("00002", "00005", "00007", "sweep", "table")]
    assert len(kept) == 27 and all(path.stat().st_mtime_ns == before[path] for path in kept)


def test_an_empty_file_is_not_done(toy_pipe, reference, tmp_path):
    folder = shutil.copytree(reference.parent, tmp_path / "grid")
    for name in ("00001.mp4", "00004.json", "00006.png"):
        (folder / name).write_bytes(b"")
    assert comparable(sweep.run_sweep(toy_pipe, SPECS, folder, quiet=True)) == comparable(reference)
    assert (folder / "00001.mp4").read_bytes() == (reference.parent / "00001.mp4").read_bytes()


def test_the_table_grows_while_the_sweep_runs(toy_pipe, tmp_path, monkeypatch):
    lengths = []

    def look(_):
        table = tmp_path / "grid" / "table.jsonl"
        lengths.append(len(list(sweep.rows(table))) if table.exists() else 0)

    at_each_decoding(monkeypatch, look)
    sweep.run_sweep(toy_pipe, SPECS[:4], tmp_path / "grid", batch_size=1, quiet=True)
    assert sorted(set(lengths)) == [0, 1, 2, 3]


def test_the_bar_ends_full_also_where_it_went_on(toy_pipe, tmp_path, capsys):
    specs = sweep.expand(SPEC, scheduler=["pndm", "heun"], seed=[1, 2])
    sweep.run_sweep(toy_pipe, specs, tmp_path / "grid", batch_size=1)
    (tmp_path / "grid" / "00001.json").unlink()
    sweep.run_sweep(toy_pipe, specs, tmp_path / "grid", batch_size=1)
    bars = capsys.readouterr().err.rstrip("\n").split("\n")
    assert len(bars) == 2 and all("4 videos: 100%" in bar.rpartition("\r")[2] and "24.0/24.0" in bar for bar in bars)


def test_memory_does_not_grow_with_the_number_of_videos(toy_pipe, tmp_path):
    def peak(count: int, again: int) -> int:
        specs = sweep.expand(replace(SPEC, steps=1, frames=4, height=64, width=64, guidance=1.0), seed=range(count))
        tracemalloc.start()
        sweep.run_sweep(toy_pipe, specs, tmp_path / f"{count} {again}", quiet=True)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = (min(peak(count, again) for again in range(3)) for count in (4, 10))  # without what a first time keeps
    assert many < few + 3 * 64 * 64 * 3 * 4, "6 more videos took less than 3 videos' frames"


# --- several processes, and killed ones


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def work(pipe, out: Path, rank: int, port: int) -> None:
    """One of two processes, with the environment that `accelerate launch` gives it."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"} | ONE_THREAD)
    sweep.run_sweep(pipe, SMALL, out, batch_size=2, quiet=True)


def run_two(pipe, out: Path, seconds: float) -> bool:
    """Run the sweep in two processes, and kill those that still run after `seconds`; return whether any did."""
    port, fork = free_port(), multiprocessing.get_context("fork")
    both = [fork.Process(target=work, args=(pipe, out, rank, port)) for rank in range(2)]
    for process in both:
        process.start()
    both[0].join(seconds)
    codes = [process.exitcode for process in both]
    for process in both:
        process.kill()  # SIGKILL
    for process in both:
        process.join()
    assert set(codes) <= {None, 0}, "a process failed by itself"
    return None in codes


def check_whole(folder: Path, reference: Path) -> dict[Path, int]:
    """Compare every finished file with an undisturbed run's; return the records with their times.

    The run was of another process, in which some processors add the same floats in another order.
    """
    expected = {row["video"]: row for row in comparable(reference, "frames_sha256")}
    for path in folder.glob("[!.]*"):
        if path.suffix in (".mp4", ".png"):
            assert near(path, reference.parent / path.name), f"{path.name} shows another video"
        elif path.name == "table.jsonl":
            assert all(row == expected[row["video"]] for row in comparable(path, "frames_sha256"))
        else:
            json.loads(path.read_text())
    return {path: path.stat().st_mtime_ns for path in folder.glob("[0-9]*.json")}


def kill_many(toy: Path, root: Path, reference: Path) -> None:
    """Sweep after sweep, killed at random points and started again, until KILLS were killed."""
    torch.set_num_threads(1)
    pipe, chance, kills, sweeps = loading.load(toy, device="cpu", dtype="float32"), random.Random(0), 0, 0
    began = time.perf_counter()
    run_two(pipe, root / "undisturbed", 60)
    longest = time.perf_counter() - began
    while kills < KILLS:
        folder, done, sweeps = root / f"{sweeps}", {}, sweeps + 1
        while run_two(pipe, folder, chance.uniform(0, longest)):
            kills += 1
            assert done.items() <= check_whole(folder, reference).items(), "what was done was made again, or lost"
            done = check_whole(folder, reference)
    took = time.perf_counter() - began
    print(f"{kills} kills in {sweeps} sweeps of {longest:.2f} s if undisturbed: {took:.0f} s")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the two processes are forked, so that many starts are quick")
def test_killed_at_many_points_in_two_processes_the_table_is_the_same(toy_pipe, toy_folder, tmp_path):
    reference = sweep.run_sweep(toy_pipe, SMALL, tmp_path / "reference", quiet=True)
    fresh = multiprocessing.get_context("spawn").Process(target=kill_many, args=(toy_folder, tmp_path, reference))
    fresh.start()  # a process in which torch has no threads yet, so that it can be forked
    fresh.join()
    assert fresh.exitcode == 0
    assert len(list(tmp_path.iterdir())) >= 4
    for folder in tmp_path.iterdir():
        assert comparable(folder / "table.jsonl", "frames_sha256") == comparable(reference, "frames_sha256")
        assert set(os.listdir(folder)) == set(os.listdir(reference.parent))


def launch(toy: Path, out: Path) -> subprocess.CompletedProcess:
    words = "--multi_gpu --num_processes 2 --main_process_port 0 -m t2v_helpers.cli sweep --device cpu --json --seeds 3"
    grid = "--scheduler ddim dpm++ --steps 2 --frames 2 --height 16 --width 16 --prompt".split()
    return subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *words.split(), "--model", str(toy), "-o", str(out)]
        + [*grid, *GRID["prompt"]],
        env=os.environ | ONE_THREAD, capture_output=True, text=True,
    )  # fmt: skip


def test_accelerate_launch_gives_the_same_table_and_goes_on_where_one_was_killed(toy_folder, reference, tmp_path):
    out = shutil.copytree(reference.parent, tmp_path / "grid")
    for name in ("00001.json", "00006.png", "00009.mp4", "table.jsonl"):
        (out / name).unlink()
    done = launch(toy_folder, out)
    said, errors = done.stdout, done.stderr
    result = json.loads(said[said.index("{") :])  # torch 2.9 lets Gloo talk before it
    assert result == {"table": str(out / "table.jsonl"), "videos": len(SPECS)}, errors
    assert "8 videos: 100%" in errors and "4 videos" not in errors, "one bar, of the main process's share"
    assert comparable(out / "table.jsonl", "frames_sha256") == comparable(reference, "frames_sha256")
    assert all(near(path, reference.parent / path.name) for path in out.glob("*.[mp][pn][4g]"))
    assert set(os.listdir(out)) == set(os.listdir(reference.parent))


# --- what is refused before anything is computed


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ([], "the grid is empty"),
        ([SPEC] * 100_001, "100,001 videos .* 100,000"),
        ([SPEC, replace(SPEC, seed=1), SPEC], "same video 2 times .*seed=0"),
        ([SPEC, replace(SPEC, guidance=4.0)], "same video 2 times"),
        ([SPEC, replace(SPEC, steps=1001)], "steps=1001"),
        ([SPEC, replace(SPEC, scheduler="dpm+")], "scheduler='dpm[+]' .*did you mean 'dpm[+][+]'"),
        ([SPEC, replace(SPEC, prompt="")], "prompt is empty"),
        ([SPEC, replace(SPEC, seed=-1)], "seed=-1"),
        (SPEC, "specs is .*GenerationSpec"),
        ([SPEC, None], "spec is .*NoneType"),
        ("abc", "spec is .*str"),
    ],
)
def test_a_grid_that_cannot_be_made(no_computing, tmp_path, specs, words):
    with pytest.raises(ValueError, match=words):
        sweep.run_sweep(no_computing, specs, tmp_path / "grid")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"pipe": "cartoon"}, "pipe is .*str"),
        ({"out": None}, "out is .*NoneType"),
        ({"out": 5}, "out is .*int"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": True}, "batch_size=True"),
    ],
)
def test_arguments_that_are_refused(no_computing, tmp_path, arguments, words):
    asked = {"pipe": no_computing, "specs": SMALL, "out": tmp_path / "grid"} | arguments
    with pytest.raises(ValueError, match=words):
        sweep.run_sweep(**asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (SPECS[:-1], "its order is"),
        (SPECS[::-1], "its prompt is 'a dog is dancing', 'a cat on the moon', and here it is 'a cat on the moon', 'a"),
        ([replace(spec, steps=3) for spec in SPECS], "its steps is 2, and here it is 3"),
        ([replace(spec, seed=spec.seed + 64 * k) for spec in SPECS for k in range(3)],
         r"its seed is 0, 1, 2, and here it is 0, 64 \.\.\. 130 \(9 values\)"),
    ],
)  # fmt: skip
def test_a_folder_of_another_sweep(no_computing, reference, tmp_path, specs, words):
    folder = shutil.copytree(reference.parent, tmp_path / "grid")
    with pytest.raises(ValueError, match=rf"another sweep \({words}"):
        sweep.run_sweep(no_computing, specs, folder)
    assert sorted(path.read_bytes() for path in folder.iterdir()) == sorted(
        path.read_bytes() for path in reference.parent.iterdir()
    )


def test_a_folder_of_the_same_model_trained_on(toy_folder, reference, tmp_path):
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    before = sweep.fingerprint(pipe)
    with torch.no_grad():
        pipe.unet.conv_in.bias[0] += 1e-3
    assert sweep.fingerprint(pipe) != before
    with pytest.raises(ValueError, match=f"its weights is '{before}'"):
        sweep.run_sweep(pipe, SPECS, reference.parent)


def test_a_folder_of_another_dtype(toy_folder, reference):
    pipe = loading.load(toy_folder, device="cpu", dtype="bfloat16")
    with pytest.raises(ValueError, match="its dtype is 'float32', .*'bfloat16'"):
        sweep.run_sweep(pipe, SPECS, reference.parent)


@pytest.mark.parametrize(
    ("name", "text"), [("notes.txt", "mine"), ("sweep.json", "{"), ("sweep.json", "[1, 2]"), ("sweep.json", "3")]
)
def test_a_folder_of_something_else(no_computing, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="sweep.json"):
        sweep.run_sweep(no_computing, SPECS, tmp_path)
    assert (tmp_path / name).read_text() == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "the record is damaged .*not JSON"),
        ("{}", "GenerationRecord needs spec, model"),
        ("\xff", "can't decode"),
        (None, "its seed is 1, and here it is 0"),  # another video's
    ],
)
def test_a_record_that_is_damaged_or_of_another_video(no_computing, reference, tmp_path, text, words):
    folder = shutil.copytree(reference.parent, tmp_path / "grid")
    path = folder / "00000.json"
    path.write_bytes((folder / "00001.json").read_bytes() if text is None else text.encode("latin-1"))
    (folder / "00002.mp4").unlink()  # there is something to make
    with pytest.raises(ValueError, match=f"00000.json is not this video's .*{words}"):
        sweep.run_sweep(no_computing, SPECS, folder)


@pytest.mark.parametrize("name", ["00000.mp4", "00001.png"])
def test_a_video_that_was_damaged_is_named(no_computing, reference, tmp_path, name):
    folder = shutil.copytree(reference.parent, tmp_path / "grid")
    (folder / name).write_bytes((folder / name).read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        sweep.run_sweep(no_computing, SPECS, folder)


@pytest.mark.parametrize("name", ["table.jsonl", "00001.mp4", "00001.png", "00001.json", "sweep.json"])
@pytest.mark.parametrize("make, what", [(Path.mkdir, "a folder"), (os.mkfifo, "a device or a pipe")])
def test_a_folder_or_a_pipe_where_a_file_should_be(no_computing, reference, tmp_path, name, make, what):
    folder = shutil.copytree(reference.parent, tmp_path / "grid")
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(OSError, match=f"{name} is {what}"):
        sweep.run_sweep(no_computing, SPECS, folder)


def test_a_file_where_the_folder_should_be(no_computing, tmp_path):
    (tmp_path / "grid").write_text("mine")
    with pytest.raises(NotADirectoryError, match="grid is a file"):
        sweep.run_sweep(no_computing, SPECS, tmp_path / "grid")


def test_a_disk_that_is_too_full(no_computing, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 3000))
    with pytest.raises(OSError, match="12 videos needs .* GiB"):
        sweep.run_sweep(no_computing, SPECS, tmp_path / "grid")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_on_the_way_keeps_what_is_done(toy_pipe, reference, tmp_path, monkeypatch):
    flush, left = files._flush, iter(range(10))

    def full(path):
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        flush(path)

    monkeypatch.setattr(files, "_flush", full)
    with pytest.raises(OSError, match="the disk is full, so .* was not written: free some space"):
        sweep.run_sweep(toy_pipe, SPECS, tmp_path / "grid", batch_size=1, quiet=True)
    assert check_whole(tmp_path / "grid", reference)
    monkeypatch.undo()
    table = sweep.run_sweep(toy_pipe, SPECS, tmp_path / "grid", batch_size=1, quiet=True)
    assert comparable(table) == comparable(reference)


# --- t2v sweep


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "the following arguments are required: --prompt"),
        (("--prompt", "a unicorn"), "does not know 'unicorn'"),
        (("--prompt", "a dog", "--negative-prompt", "a cat", "a unicorn"), "does not know 'unicorn'"),
        (("--prompt", "a dog", "--seeds", "0"), "argument --seeds: '0'"),
        (("--prompt", "a dog", "--seeds", "-4"), "argument --seeds: '-4'"),
        (("--prompt", "a dog", "--seeds", "1" + "0" * 30), "100,000"),
        (("--prompt", "a dog", "--steps", "1", "2", "--seeds", "99999"), "the grid has 199,998 videos"),
        (("--prompt", "a dog", "--scheduler", "ddim", "magic"), "scheduler='magic'"),
        (("--prompt", "a dog", "--device", "toaster"), "device='toaster'"),
    ],
)
def test_the_command_refuses_in_one_sentence(toy_folder, tmp_path, capsys, words, sentence):
    from t2v_helpers import cli

    try:
        status = cli.main(["sweep", "--model", str(toy_folder), "--device", "cpu", "-o", str(tmp_path / "g"), *words])
    except SystemExit as stop:
        status = stop.code
    err = capsys.readouterr().err
    assert status == 2 and sentence in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_where_the_table_is(toy_folder, tmp_path, capsys):
    from t2v_helpers import cli

    small = "--steps 1 --frames 1 --height 16 --width 16 --seeds 2 --prompt".split()
    asked = ["sweep", "--model", str(toy_folder), "--device", "cpu", "-o", str(tmp_path / "g"), *small, "a dog"]
    assert cli.main(asked) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'g' / 'table.jsonl'}: 2 videos\n"


@pytest.mark.parametrize("text", [b"{}\n{", b"{}\n3", b'{}\n{"a": "\xff"}'])
def test_a_damaged_row_is_named(tmp_path, text):
    (tmp_path / "table.jsonl").write_bytes(text)
    with pytest.raises(ValueError, match="line 2 of .*table.jsonl"):
        list(sweep.rows(tmp_path / "table.jsonl"))
