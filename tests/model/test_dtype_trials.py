"""dtype_trials: what a device can do is found by doing it, here on the CPU; failures are put in by hand."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from t2v_helpers.core.model_names import Model
from t2v_helpers.machine import probe
from t2v_helpers.machine.device import DTYPES
from t2v_helpers.machine.probe import TorchFacts
from t2v_helpers.model import dtype_trials, loading

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
GOOD = dtype_trials.Trial("float32", "works", {"along a frame": "flash"}, "works")


def test_every_dtype_is_tried_on_the_cpu(monkeypatch):
    monkeypatch.setattr(dtype_trials, "first_step", lambda dtype, device: "works")  # that is tried below, once
    tried = list(dtype_trials.run("cpu"))
    assert [trial.dtype for trial in tried] == list(DTYPES)
    assert tried[0].layers == "works" and set(tried[0].attention) == set(dtype_trials.ATTENTIONS)
    assert str(GOOD) == "float32   layers: works; attention: flash along a frame; first step: works"


@needs_gpu
def test_every_dtype_is_tried_on_this_gpu():
    tried = list(dtype_trials.run("cuda"))
    assert "works" in [trial.first_step for trial in tried], "\n".join(map(str, tried))


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="device='cuda:9' is not there"):
        next(dtype_trials.run("cuda:9"))


@pytest.mark.parametrize("backend, name", [(SDPBackend.MATH, "math"), (SDPBackend.FLASH_ATTENTION, "flash")])
def test_the_backend_is_the_one_that_ran(backend, name):
    with sdpa_kernel(backend):
        assert dtype_trials.attention_backend((1, 2, 16, 8), torch.float32, CPU) == name


def test_the_backends_have_the_numbers_of_torch():
    numbers = {"math": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION,
               "memory-efficient": SDPBackend.EFFICIENT_ATTENTION, "fused": SDPBackend.OVERRIDEABLE}  # fmt: skip
    assert {name: int(number) for name, number in numbers.items()} == {
        name: n for n, name in enumerate(dtype_trials.BACKENDS)
    }


def test_layers_that_are_far_off_or_not_finite(monkeypatch):
    monkeypatch.setattr(dtype_trials, "NEAR", dict.fromkeys(dtype_trials.NEAR, 1e-9))
    assert dtype_trials.layers_in(torch.bfloat16, CPU).endswith("off the CPU's float32")
    net = dtype_trials._Net()
    torch.nn.init.constant_(net.line.bias, 1e30)  # too large for half precision
    monkeypatch.setattr(dtype_trials, "_Net", lambda: net)
    assert dtype_trials.layers_in(torch.float16, CPU) == "values that are not finite"


def test_the_first_step_of_a_sound_model_and_of_a_broken_one(toy_folder, monkeypatch, capsys):
    monkeypatch.setitem(loading.MODELS, "cartoon", Model(toy_folder))
    for asked in ("", "bad", "1MiB"):  # what T2V_MEMORY asks for is another question
        monkeypatch.setenv("T2V_MEMORY", asked)
        assert dtype_trials.first_step(torch.bfloat16, CPU) == "works" and capsys.readouterr().err == ""
    assert dtype_trials.first_step(torch.float32, CPU) == "works"
    load = loading.load

    def broken(*words, **more):
        pipe = load(*words, **more)
        torch.nn.init.constant_(pipe.unet.conv_out.bias, float("nan"))
        return pipe

    monkeypatch.setattr(loading, "load", broken)
    assert dtype_trials.first_step(torch.float32, CPU) == "values that are not finite"


@pytest.mark.parametrize(
    "error, said",
    [
        (RuntimeError("HIP error: invalid device function"), "no kernels for gfx1103: install one"),
        (torch.OutOfMemoryError("HIP out of memory"), "close other programs"),
        (NotImplementedError('"conv" not implemented for Half'), 'fails (NotImplementedError: "conv" not implemented'),
        (MemoryError("too little"), "fails (MemoryError: too little)"),
    ],
)
def test_an_error_becomes_a_line_with_what_to_do(monkeypatch, error, said):
    monkeypatch.setattr(probe, "look_at_torch", lambda: TorchFacts("ROCm 7.2", count=1, gfx="gfx1103"))

    def fail():
        raise error

    line = dtype_trials.report(fail)
    assert line.startswith("fails (") and said in line and "\n" not in line


def test_advice():
    bad = dtype_trials.Trial("float16", "works", {"along a frame": "flash"}, "values that are not finite")
    slow = dtype_trials.Trial("bfloat16", "works", {"along a frame": "math"}, "works")
    assert dtype_trials.advice([GOOD]) == []
    assert dtype_trials.advice([GOOD, bad]) == ["float16 cannot be relied on here: take dtype='float32'."]
    assert dtype_trials.advice([bad]) == ["float16 cannot be relied on here: take device='cpu'."]
    (said,) = dtype_trials.advice([GOOD, slow])
    assert said.startswith("Attention in bfloat16 runs by math") and "TORCH_ROCM_AOTRITON" in said
