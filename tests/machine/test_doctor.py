"""doctor: each fault of a machine is found in facts that are written here, with its remedy."""

import json
import re
import sys
from dataclasses import asdict, replace
from importlib import metadata

import pytest
import torch

from t2v_helpers import __version__
from t2v_helpers.machine import doctor, probe
from t2v_helpers.machine.doctor import Environment, Problem
from t2v_helpers.machine.probe import Driver, TorchFacts

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
NOTHING = Driver(kfd="missing", render="missing", nvidia=False, groups=("anna",), groups_needed=())
AMD = replace(NOTHING, kfd="open", render="open", groups_needed=("render", "video"))
NVIDIA = replace(NOTHING, nvidia=True)


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


# --- Python and packages

REQUIRED = {"torch": "<2.15,>=2.9", "scipy": "<2,>=1.14"}


@pytest.mark.parametrize("version, fits", [("3.11.7", True), ("3.14.0rc1", True), ("3.9.2", False)])
def test_the_version_of_python(version, fits):
    problems = doctor.python_problems(version, ">=3.11")
    assert problems == [] if fits else f"Python {version} does not fit: >=3.11 is needed" == only(problems).what


@pytest.mark.parametrize("torch_version", ["2.13.0", "2.13.0+cpu", "2.11.0+rocm7.2", "2.14.0a0+git123"])
def test_packages_in_range_whatever_their_build(torch_version):
    assert doctor.package_problems(REQUIRED, {"torch": torch_version, "scipy": "1.17.1"}, amd=True) == []


@pytest.mark.parametrize(
    "installed, amd, what, fix",
    [
        ({"scipy": None}, True, "scipy is missing", 'pip install "scipy<2,>=1.14"'),
        ({"torch": "2.1.1"}, False, "torch 2.1.1 does not fit: torch<2.15,>=2.9", 'pip install "torch<2.15,>=2.9"'),
        ({"torch": "2.1.1"}, True, "torch 2.1.1 does not fit: torch<2.15,>=2.9", "ROCm build"),  # pip would replace it
    ],
)
def test_packages_that_do_not_fit(installed, amd, what, fix):
    problem = only(doctor.package_problems(REQUIRED, {"torch": "2.13.0", "scipy": "1.17.1"} | installed, amd))
    assert problem.what.startswith(what) and fix in problem.fix
    assert ("pip install" in problem.fix) == fix.startswith("pip install")


def test_a_python_without_the_course():
    problem = only(doctor.installation_problems("no-such-distribution"))
    assert problem.what == f"no-such-distribution is not installed in this Python ({sys.executable})"
    assert "kernel" in problem.fix


def test_another_version_runs_than_is_installed(tmp_path, monkeypatch):
    info = tmp_path / "older_course-0.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: older-course\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    problem = only(doctor.installation_problems("older-course"))
    assert problem.what == f"t2v_helpers {__version__} runs, but 0.0.1 is installed"
    assert "restart the kernel" in problem.fix


def test_what_the_installed_metadata_asks_for_is_judged(tmp_path, monkeypatch):
    info = tmp_path / f"new_course-{__version__}.dist-info"
    info.mkdir()
    asked = f"Name: new-course\nVersion: {__version__}\nRequires-Python: >=4\nRequires-Dist: numpy<1\n"
    extras = "Provides-Extra: dev\nRequires-Dist: no-such-tool; extra == 'dev'\nRequires-Dist: no-such-package>=1\n"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\n{asked}{extras}")
    monkeypatch.syspath_prepend(tmp_path)
    found = [problem.what for problem in doctor.installation_problems("new-course")]
    assert found[0].endswith("does not fit: >=4 is needed")
    assert found[1] == f"numpy {metadata.version('numpy')} does not fit: numpy<1 is needed"
    assert found[2:] == ["no-such-package is missing"]


# --- GPUs

DENIED = replace(AMD, kfd="denied", render="denied", groups=("anna", "users"))
NO_SUCH_FILES = "--device /dev/kfd --device /dev/dri"
KFD, RENDER = "/dev/kfd", "/dev/dri/renderD*"


@pytest.mark.parametrize(
    "build, driver, hiding, whats, fixes",
    [
        ("CPU", NOTHING, {}, [], []),
        ("CUDA 12.8", NOTHING, {}, [], []),
        *((build, AMD, {}, [f"an AMD GPU is there ({KFD}), but torch is built for {build}"],
           ["ROCm build", "environment.yml"]) for build in ("CPU", "CUDA 12.8")),
        ("CPU", NVIDIA, {}, ["an NVIDIA GPU is there, but torch is built for CPU"], ["CUDA build"]),
        ("ROCm 7.2", NOTHING, {}, [f"torch is built for ROCm, but {path} is not there" for path in (KFD, RENDER)],
         [NO_SUCH_FILES]),
        ("ROCm 7.2", DENIED, {}, [f"you may not open {path}: your groups are anna, users" for path in (KFD, RENDER)],
         ["sudo usermod -aG render,video $USER", "--group-add"]),
        ("CUDA 12.8", NVIDIA, {}, ["torch sees no GPU, though its driver is there"], ["nvidia-smi"]),
        *(("ROCm 7.2", replace(AMD, version=version), {},
           [f"torch (built for ROCm 7.2) sees no GPU, though its driver is there{shown}"],
           ["amd-smi", "does not fit the driver", "environment.yml"])
          for version, shown in (("amdgpu 6.3.6", " (amdgpu 6.3.6)"), ("", ""))),
        ("ROCm 7.2", AMD, {"HIP_VISIBLE_DEVICES": ""}, ["torch sees no GPU; HIP_VISIBLE_DEVICES='' may hide it"],
         ["unset HIP_VISIBLE_DEVICES"]),
    ],
)  # fmt: skip
def test_why_torch_sees_no_gpu(build, driver, hiding, whats, fixes):
    problems = doctor.gpu_problems(TorchFacts(build), driver, hiding)
    assert [problem.what for problem in problems] == whats
    assert all(fix in problem.fix for problem in problems for fix in fixes)


def test_an_nvidia_gpu_and_a_torch_for_rocm():
    problem = doctor.gpu_problems(TorchFacts("ROCm 7.2"), NVIDIA, {})[0]
    assert problem.what == "an NVIDIA GPU is there, but torch is built for ROCm 7.2" and "CUDA build" in problem.fix


@pytest.mark.parametrize("needed", [("root",), ("render", "root")])
def test_nobody_is_told_to_join_the_group_root(needed):
    driver = replace(AMD, kfd="denied", groups_needed=needed)
    problem = only(doctor.gpu_problems(TorchFacts("ROCm 7.2"), driver, {}))
    assert 'KERNEL=="kfd|renderD*", GROUP="render", MODE="0660" into /etc/udev/rules.d/' in problem.fix
    assert "sudo usermod -aG render,video $USER" in problem.fix and not re.search(r"-aG \S*root", problem.fix)


MI300X = TorchFacts("ROCm 7.2", count=1, name="AMD Instinct MI300X", gfx="gfx942", architectures=("gfx90a", "gfx942"))


@pytest.mark.parametrize("found", [MI300X, TorchFacts("CUDA 12.8", count=1, architectures=("sm_90",))])
def test_nothing_to_say_of_a_gpu_that_torch_sees(found):
    assert doctor.gpu_problems(found, replace(AMD, render="missing"), {}) == []


def test_a_gpu_that_this_build_does_not_know():
    problem = only(doctor.gpu_problems(replace(MI300X, gfx="gfx1299"), AMD, {}))
    assert problem.what == "AMD Instinct MI300X is gfx1299, but this torch is built for gfx90a, gfx942"
    assert problem.fix == 'install a torch that is built for gfx1299 (environment.yml), or use device="cpu"'


def test_a_radeon_may_pass_for_a_near_relative_that_the_build_has():
    found = replace(MI300X, gfx="gfx1103", architectures=("gfx942", "gfx1100"))
    assert "or try HSA_OVERRIDE_GFX_VERSION=11.0.0" in only(doctor.gpu_problems(found, AMD, {})).fix
    assert "HSA_OVERRIDE" not in only(doctor.gpu_problems(replace(found, gfx="gfx1151"), AMD, {})).fix


@pytest.mark.parametrize(
    "built, inside, outside",
    [
        ("gfx9-generic", ["gfx900", "gfx906", "gfx90c"], ["gfx908", "gfx90a", "gfx942", "gfx950"]),
        ("gfx9-4-generic", ["gfx940", "gfx942", "gfx950"], ["gfx900", "gfx908", "gfx90a"]),
        ("gfx10-1-generic", ["gfx1010", "gfx1013"], ["gfx1030"]),
        ("gfx10-3-generic", ["gfx1030", "gfx1036"], ["gfx1010"]),
        ("gfx11-generic", ["gfx1100", "gfx1103", "gfx1151"], ["gfx1201"]),
        ("gfx12-generic", ["gfx1200", "gfx1201"], ["gfx1100", "gfx1250"]),
        ("gfx13-generic", [], ["gfx1300"]),
    ],
)
def test_a_generic_build_covers_its_family_and_no_other(built, inside, outside):
    def problems(gfx):
        return doctor.gpu_problems(replace(MI300X, gfx=gfx, architectures=(built,)), AMD, {})

    assert not any(map(problems, inside)) and all(map(problems, outside))


def test_a_torch_that_does_not_load():
    problem = only(doctor.gpu_problems(TorchFacts(error="libamdhip64.so: not found"), NOTHING, {}))
    assert problem.what == "torch cannot be imported: libamdhip64.so: not found"
    assert "ROCm build" in problem.fix and "do not fit" in problem.fix
    problem = only(doctor.gpu_problems(TorchFacts(error="libgomp.so.1: not found"), NOTHING, {}))
    assert problem.fix == "install torch again"


def test_a_missing_torch_is_left_to_the_package_check():
    assert doctor.gpu_problems(TorchFacts(), AMD, {}) == []


# --- room


def test_room_for_the_model_and_its_videos():
    assert doctor.room_problems(8.0, 10.0) == []
    memory, disk = doctor.room_problems(0.5, 0.25)
    assert memory.what == "0.5 GiB of memory are free; 2.0 are needed" and "close other programs" in memory.fix
    assert disk.what == "0.2 GiB of disk are free; 1.0 are needed" and "delete" in disk.fix


# --- look


def test_look_at_this_machine():
    found = doctor.look()
    assert found.build == probe.torch_build(torch.version.hip, torch.version.cuda)
    assert probe.look_at_torch().version == torch.__version__
    assert found.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert found.memory_gib > 0 and found.free_disk_gib > 0 and found.threads == torch.get_num_threads()
    assert json.loads(json.dumps(asdict(found)))["python"] == found.python


FOUND = Environment(
    *("3.12.1", "Linux x86_64", "a CPU", 8, 15.5, 100.0, "cuda", "ROCm 7.2", "AMD Instinct MI300X", "gfx942", 191.5),
    versions={"python": "3.12.1", "torch": "2.13.0", "diffusers": "0.42.1"},
    problems=[],
    driver="amdgpu 6.16.6",
)


def test_the_table_of_a_sound_machine():
    assert str(FOUND).splitlines() == [
        "Python       3.12.1 on Linux x86_64",
        "CPU          a CPU, 8 threads",
        "memory       15.5 GiB",
        "free disk    100.0 GiB",
        "torch build  ROCm 7.2",
        "AMD driver   amdgpu 6.16.6",
        "device       cuda (AMD Instinct MI300X gfx942, 191.5 GiB)",
        "packages     torch=2.13.0, diffusers=0.42.1",
        "",
        "Nothing to mend.",
    ]


def test_the_table_says_what_to_fix():
    problems = [Problem("scipy is missing", 'pip install "scipy"'), Problem("a", "b")]
    shown = str(replace(FOUND, device="cpu", threads=1, problems=problems))
    assert "a CPU, 1 thread\n" in shown and "device       cpu\n" in shown
    assert shown.endswith('\n\nTo mend:\n1. scipy is missing\n   -> pip install "scipy"\n2. a\n   -> b')


@needs_gpu
def test_look_at_this_gpu():
    found = doctor.look()
    assert found.device_name == torch.cuda.get_device_name(0) and found.device_memory_gib > 0
    assert bool(found.gfx) == bool(torch.version.hip)
