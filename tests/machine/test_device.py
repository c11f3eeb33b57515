"""device: what is picked on which machine, and memory as it is free and as it peaks."""

import pytest
import torch

from t2v_helpers.machine import probe
from t2v_helpers.machine.device import MIB, choose_device, free_memory_bytes, peak_memory, pick_device, pick_dtype

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")


@pytest.mark.parametrize(
    "name, count, chosen",
    [("auto", 0, "cpu"), ("auto", 2, "cuda"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda"), ("cuda:1", 2, "cuda:1")],
)
def test_choose_device(name, count, chosen):
    assert choose_device(name, count, "ROCm 7.2") == chosen


@pytest.mark.parametrize("name, count", [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_not_there(name, count):
    with pytest.raises(ValueError, match=rf"device='{name}' is not there, torch \(built for CPU\) sees {count} GPUs"):
        choose_device(name, count, "CPU")


@pytest.mark.parametrize("name", ["", "gpu", "mps", "cpu:0", "cuda:", "cuda:-1", "cuda:01", "CUDA", "cuda:1x", "None"])
def test_unknown_devices(name):
    with pytest.raises(ValueError, match=f'^device={name!r} is unknown: use "auto"'):
        choose_device(name, 2, "CPU")


def test_rocm_is_called_cuda():
    with pytest.raises(ValueError, match="ROCm's GPUs are called cuda, too"):
        choose_device("rocm", 1, "ROCm 7.2")


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
