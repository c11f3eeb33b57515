"""device: what is picked on which machine, and memory as it is free and as it peaks."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from t2v_helpers.core.paths import ROOT
from t2v_helpers.machine import probe
from t2v_helpers.machine.device import MIB, free_memory_bytes, peak_memory, pick_device, pick_dtype

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")


def pick_on(monkeypatch, name: str, count: int) -> torch.device:
    """`pick_device` where torch sees `count` GPUs."""
    monkeypatch.setattr(probe, "look_at_torch", lambda: probe.TorchFacts("ROCm 7.2" if count else "CPU", count=count))
    return pick_device(name)


@pytest.mark.parametrize(
    "name, count, chosen",
    [("auto", 0, "cpu"), ("auto", 2, "cuda"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda"), ("cuda:1", 2, "cuda:1")],
)
def test_the_device_is_chosen_among_those_that_torch_sees(name, count, chosen, monkeypatch):
    assert pick_on(monkeypatch, name, count) == torch.device(chosen)


@pytest.mark.parametrize("name, count", [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_not_there(name, count, monkeypatch):
    build = "ROCm 7.2" if count else "CPU"
    match = rf"device='{name}' is not there, torch \(built for {build}\) sees {count} GPUs"
    with pytest.raises(ValueError, match=match):
        pick_on(monkeypatch, name, count)


@pytest.mark.parametrize("name", ["", "gpu", "mps", "cpu:0", "cuda:", "cuda:-1", "cuda:01", "CUDA", "cuda:1x", "None"])
def test_unknown_devices(name, monkeypatch):
    with pytest.raises(ValueError, match=f'^device={name!r} is unknown: use "auto"'):
        pick_on(monkeypatch, name, 2)


@pytest.mark.parametrize("pick", [pick_device, pick_dtype])
@pytest.mark.parametrize("name", ["x" * 10_000, "cuda:" + "9" * 5000], ids=["long", "far"])
def test_a_long_name_is_told_in_short(pick, name):
    with pytest.raises(ValueError) as caught:
        pick(name)
    assert len(str(caught.value)) < 400


def test_rocm_is_called_cuda(monkeypatch):
    with pytest.raises(ValueError, match="ROCm's GPUs are called cuda, too"):
        pick_on(monkeypatch, "rocm", 1)


def test_pick_device_here():
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    "name, device, dtype",
    [
        ("auto", "cpu", torch.float32),
        ("auto", "cuda", torch.float16),
        ("auto", torch.device("cuda:1"), torch.float16),
        ("bfloat16", "cpu", torch.bfloat16),
        (torch.float32, "cuda", torch.float32),
    ],
)
def test_pick_dtype(name, device, dtype):
    assert pick_dtype(name, device) is dtype


@pytest.mark.parametrize("name", ["float64", "half", "", torch.int8, None, "randn"])
def test_dtypes_that_are_not_allowed(name):
    with pytest.raises(ValueError, match="is not allowed: use auto, float32, float16, bfloat16"):
        pick_dtype(name)


# --- memory


def test_free_memory_is_less_than_all():
    assert 0 < free_memory_bytes("cpu") < probe.memory_bytes()[0]


def test_peak_memory_sees_what_was_freed_again():
    with peak_memory("cpu") as quiet:
        pass
    with peak_memory("cpu") as busy:
        torch.ones(256 * MIB // 4)  # 256 MiB, freed at once
    assert 250 < busy.mib - quiet.mib < 300


def test_peak_memory_is_known_after_an_error():
    with pytest.raises(RuntimeError, match="inside"), peak_memory() as peak:
        raise RuntimeError("inside")
    assert peak.mib > 0


@needs_gpu
def test_peak_and_free_memory_of_a_gpu():
    before = free_memory_bytes("cuda")
    with peak_memory("cuda") as peak:
        block = torch.ones(256 * MIB // 4, device="cuda")
        assert free_memory_bytes("cuda") < before - 200 * MIB
    del block
    assert 256 <= peak.mib < 1024


FAULTS = """
import resource, torch
from t2v_helpers.machine.device import MIB, keep_freed_memory
keep_freed_memory()
for turn in range(8):  # the C library learns for some turns
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [torch.zeros(8 * MIB, dtype=torch.uint8) for _ in range(3)]
    del parts
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back so soon")
def test_memory_that_was_freed_is_given_again_without_asking_the_system():
    tuned = ("MALLOC_", "GLIBC_", "LD_PRELOAD")
    env = {name: value for name, value in os.environ.items() if not name.startswith(tuned)}
    call = [sys.executable, "-c", FAULTS]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=ROOT, env=env)
    pages = 3 * 8 * MIB // os.sysconf("SC_PAGE_SIZE")
    assert int(done.stdout.split()[-1]) < pages / 20
