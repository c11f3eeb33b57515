"""probe: device files and limits, read from folders laid out as the system lays them out."""

import builtins
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import pytest

from t2v_helpers import __version__
from t2v_helpers.machine import probe


def test_no_gpu(tmp_path):
    driver = probe.find_driver(tmp_path)
    assert (driver.kfd, driver.render, driver.nvidia, driver.groups_needed) == ("missing", "missing", False, ())


def test_an_amd_gpu(tmp_path):
    (tmp_path / "dri").mkdir()
    (tmp_path / "kfd").write_text("")
    (tmp_path / "dri" / "renderD128").write_text("")
    driver = probe.find_driver(tmp_path)
    assert (driver.kfd, driver.render, driver.nvidia) == ("open", "open", False)
    assert len(driver.groups_needed) == 1 and driver.groups_needed[0] in driver.groups


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the super-user may open anything")
def test_a_device_that_may_not_be_opened(tmp_path):
    (tmp_path / "kfd").write_text("")
    (tmp_path / "kfd").chmod(0)
    assert probe.find_driver(tmp_path).kfd == "denied"


def test_an_nvidia_gpu(tmp_path):
    (tmp_path / "nvidiactl").write_text("")
    assert not probe.find_driver(tmp_path).nvidia
    (tmp_path / "nvidia0").write_text("")
    assert probe.find_driver(tmp_path).nvidia


def test_the_version_of_the_amd_driver(tmp_path):
    assert probe.amd_driver(tmp_path) == ""
    module = tmp_path / "module" / "amdgpu"
    module.mkdir(parents=True)
    assert probe.amd_driver(tmp_path) == f"amdgpu of Linux {platform.release()}"
    (module / "version").write_text("6.16.6\n")
    assert probe.amd_driver(tmp_path) == "amdgpu 6.16.6"


def test_a_torch_that_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # import then says ModuleNotFoundError
    assert probe.look_at_torch() == probe.TorchFacts()

    def fail(name, *rest):
        if name == "torch":
            raise ImportError("libamdhip64.so:\n not found")
        return there(name, *rest)

    there = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", fail)
    assert probe.look_at_torch() == probe.TorchFacts(error="libamdhip64.so: not found")


@pytest.mark.parametrize(
    "hip, cuda, build", [("7.2", None, "ROCm 7.2"), (None, "12.8", "CUDA 12.8"), (None, None, "CPU")]
)
def test_the_name_of_a_build(hip, cuda, build):
    assert probe.torch_build(hip, cuda) == build


def write_cgroup(folder: Path, limit: str, used: int) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text("anon 1\ninactive_anon 7\ninactive_file 300\nfile 9\n")


@pytest.mark.parametrize("used, free", [(800, 500), (1000, 300), (1400, 0)])
def test_a_container_with_a_limit(tmp_path, used, free):
    write_cgroup(tmp_path, "1000", used)
    assert probe.cgroup_memory(tmp_path) == (1000, free)


def test_no_limit(tmp_path):
    assert probe.cgroup_memory(tmp_path) is None
    write_cgroup(tmp_path, "max", 100)
    assert probe.cgroup_memory(tmp_path) is None


def test_the_processor_has_a_name():
    assert probe.cpu_name().strip()


def test_the_peak_rises_with_use_and_starts_again():
    block = b"\1" * (512 << 20)  # large, for Linux counts per processor, and may be some megabytes behind on each
    with_block = probe.peak_resident_bytes()
    del block
    assert with_block > 256 << 20
    if probe.reset_peak():
        assert probe.peak_resident_bytes() <= with_block - (256 << 20)


def test_versions_come_from_the_declared_packages():
    versions = probe.versions()
    assert versions["t2v_helpers"] == __version__ and versions["diffusers"] == metadata.version("diffusers")
    assert "ruff" not in versions  # an extra


def test_the_version_is_said_once():
    assert metadata.version("t2v_helpers") == __version__
