"""rocm: what to set on which GPU, judged from facts that are written here; no AMD GPU is needed."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from t2v_helpers.machine import rocm
from t2v_helpers.machine.probe import TorchFacts

MI300X = TorchFacts("ROCm 7.2", count=1, name="AMD Instinct MI300X", gfx="gfx942", architectures=("gfx942",),
                    version="2.13.0+rocm7.2")  # fmt: skip
MI250 = replace(MI300X, gfx="gfx90a")
RADEON = replace(MI300X, name="AMD Radeon RX 7900 XTX", gfx="gfx1100")
UNKNOWN = replace(MI300X, gfx="gfx1300x")
FIND, DB, ALLOC = "MIOPEN_FIND_MODE", "MIOPEN_USER_DB_PATH", "PYTORCH_ALLOC_CONF"
AOTRITON, HSA = "TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL", "HSA_OVERRIDE_GFX_VERSION"
TF32 = "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"


def judged(found: TorchFacts, **environ: str) -> dict[str, rocm.Setting]:
    return {setting.name: setting for setting in rocm.settings(found, environ)}


@pytest.mark.parametrize(
    "found, names",
    [
        (MI300X, {FIND, DB, ALLOC, TF32, HSA}),
        (MI250, {FIND, DB, ALLOC, HSA}),
        (RADEON, {FIND, DB, ALLOC, AOTRITON}),
        (UNKNOWN, {FIND, DB, ALLOC, AOTRITON}),
    ],
)
def test_each_gpu_gets_the_settings_that_matter_there(found, names):
    assert set(judged(found)) == names


@pytest.mark.parametrize("found", [TorchFacts("CPU"), TorchFacts("CUDA 12.8", count=1), replace(MI300X, count=0)])
def test_without_an_amd_gpu_there_is_nothing_to_set(found):
    assert rocm.settings(found, {FIND: "1"}) == []


def test_nothing_set_fits_nothing_but_the_name_that_should_not_be_set():
    assert {name for name, setting in judged(MI300X).items() if setting.fits} == {HSA}


@pytest.mark.parametrize(
    "name, value, fits",
    [(FIND, "FAST", True), (FIND, "fast", True), (FIND, "2", True), (FIND, "1", False), (FIND, "NORMAL", False),
     (DB, "/caches/miopen", True), (HSA, "9.0.0", False), (ALLOC, "expandable_segments:True", True),
     (ALLOC, "expandable_segments:False", False), (ALLOC, "expandable_segments:True,max_split_size_mb:512", False)],
)  # fmt: skip
def test_what_is_set_is_judged(name, value, fits):
    setting = judged(MI300X, **{name: value})[name]
    assert (setting.now, setting.fits) == (value, fits)


@pytest.mark.parametrize(
    "version, wanted",
    [("2.9.1+rocm6.4", False), ("2.10.0", False), ("2.11.0+rocm7.2", True), ("2.13.0a0+git123", True), ("3.0", True)],
)
def test_blocks_of_memory_that_grow_are_asked_for_where_torch_has_them_on_rocm(version, wanted):
    assert (ALLOC in judged(replace(MI300X, version=version))) == wanted


@pytest.mark.parametrize("name", ["PYTORCH_HIP_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_older_names_of_the_allocators_variable_count(name):
    assert judged(MI300X, **{name: "expandable_segments:True"})[name].fits


def test_attention_on_a_radeon_and_tf32_on_mi300():
    assert judged(RADEON, **{AOTRITON: "1"})[AOTRITON].fits and not judged(RADEON, **{AOTRITON: "0"})[AOTRITON].fits
    assert judged(MI300X, **{TF32: "1"})[TF32].fits and not judged(MI300X, **{TF32: "0"})[TF32].fits


@pytest.mark.parametrize("value, allowed", [("1", True), ("0", False), (None, False)])
def test_the_variable_for_tf32_sets_what_its_reason_names(value, allowed):
    attribute = "torch.backends.cuda.matmul.allow_tf32"
    assert attribute in judged(MI300X)[TF32].why
    environ = {name: there for name, there in os.environ.items() if name != TF32} | ({TF32: value} if value else {})
    call = [sys.executable, "-c", f"import torch; print({attribute})"]
    assert subprocess.run(call, env=environ, capture_output=True, text=True).stdout == f"{allowed}\n"


def test_every_setting_has_its_reason_and_its_source():
    for found in (MI300X, RADEON):
        assert all(len(s.why) > 40 and s.source for s in rocm.settings(found, {}))


def test_the_text_begins_with_what_to_change():
    lines = rocm.text(rocm.settings(MI300X, {FIND: "FAST"})).splitlines()
    names = [line.partition(" ")[0] for line in lines if not line.startswith("   ")]
    assert names[-2:] == [FIND, HSA] and len(names) == 5 and max(map(len, lines)) <= 110
    assert lines[0] == f"{DB} is not set, should be a folder that is kept"
    assert f"{FIND} is FAST, as it should be" in lines and f"{HSA} is not set, as it should be" in lines
    assert f"{HSA} is 9.0.0, should not be set" in rocm.text(rocm.settings(MI300X, {HSA: "9.0.0"}))


@pytest.mark.parametrize(
    "error, advice",
    [
        ("HIP error: no kernel image is available for execution on the device", "no kernels for gfx1103: install one"),
        ("HIP error: invalid device function", "no kernels for gfx1103"),
        ("HIP out of memory. Tried to allocate 2 GiB", "close other programs"),
        ("miopenStatusUnknownError", "delete its cache"),
    ],
)
def test_errors_of_a_gpu_get_an_advice(error, advice):
    assert advice in rocm.explain(error, "gfx1103")


def test_other_errors_get_none():
    assert rocm.explain("shapes do not match", "gfx942") == ""
    assert "this GPU" in rocm.explain("invalid device function", "")
