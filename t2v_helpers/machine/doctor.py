"""What `t2v info` reports: hardware, versions, what is wrong with them and how to fix it.

`look()` must work where packages are missing, so psutil and packaging are imported only where they are used. probe.py
reads the machine; the judges here (`*_problems`) are plain functions of what it found.
"""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from t2v_helpers import __version__
from t2v_helpers.core.arguments import brief
from t2v_helpers.machine import probe, rocm
from t2v_helpers.machine.device import GIB
from t2v_helpers.machine.probe import DISTRIBUTION, Driver, TorchFacts

ENOUGH_MEMORY_GIB, ENOUGH_DISK_GIB = 2.0, 1.0  # Python, torch, diffusers and the cartoon model together stay below
_ROCM_WHEELS = "remove .venv and install PyTorch's ROCm build, as environment.yml says, or use a rocm/pytorch container"
_HIDING = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and how to fix it."""

    what: str
    fix: str


@dataclass(frozen=True)
class Environment:
    """What `look` found; sizes in GiB. `str()` is a table. device is "cpu" or "cuda" (ROCm's GPUs too)."""

    python: str
    platform: str
    cpu: str
    threads: int
    memory_gib: float
    free_disk_gib: float
    device: str
    build: str
    device_name: str
    gfx: str
    device_memory_gib: float
    versions: dict[str, str]
    problems: list[Problem]
    driver: str = ""
    t2v_memory: str = ""

    def __str__(self) -> str:
        gpu = f"{self.device_name} {self.gfx}".strip() + f", {self.device_memory_gib:.1f} GiB"
        packages = ", ".join(f"{name}={version}" for name, version in self.versions.items() if name != "python")
        rows = {
            "Python": f"{self.python} on {self.platform}",
            "CPU": f"{self.cpu}, {probe.in_threads(self.threads)}",
            "memory": f"{self.memory_gib:.1f} GiB",
            "free disk": f"{self.free_disk_gib:.1f} GiB",
            "torch build": self.build,
            "AMD driver": self.driver,
            "T2V_MEMORY": self.t2v_memory,
            "device": f"{self.device} ({gpu})" if self.device == "cuda" else self.device,
            "packages": textwrap.fill(packages, 90, subsequent_indent=" " * 13, break_on_hyphens=False),
        }
        lines = [f"{name:<12} {value}" for name, value in rows.items() if value]
        advice = [f"{i}. {problem.what}\n   -> {problem.fix}" for i, problem in enumerate(self.problems, 1)]
        return "\n".join([*lines, "", *(["To mend:", *advice] if advice else ["Nothing to mend."])])


def look() -> Environment:
    """Probe this machine and judge what was found. Reads only; takes as long as importing torch."""
    found, driver = probe.look_at_torch(), probe.find_driver()
    total, free = probe.memory_bytes() if probe.installed_version("psutil") else (math.nan, math.nan)
    disk = shutil.disk_usage(Path.cwd()).free / GIB
    hiding = {name: os.environ[name] for name in _HIDING if name in os.environ}
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cpu=probe.cpu_name(),
        threads=found.threads,
        memory_gib=total / GIB,
        free_disk_gib=disk,
        device="cuda" if found.count else "cpu",
        build=found.build,
        device_name=found.name,
        gfx=found.gfx,
        device_memory_gib=found.memory_bytes / GIB,
        versions=probe.versions(),
        problems=installation_problems() + gpu_problems(found, driver, hiding) + room_problems(free / GIB, disk),
        driver=driver.version,
        t2v_memory=os.environ.get("T2V_MEMORY", ""),
    )


def python_problems(version: str, allowed: str) -> list[Problem]:
    """Compare Python's version ("3.11.7") with the declared range (">=3.10")."""
    if _in_range(version, allowed):
        return []
    fix = f"make an environment with Python {allowed} and install the course there"
    return [Problem(f"Python {version} does not fit: {allowed} is needed", fix)]


def package_problems(required: dict[str, str], installed: dict[str, str | None], amd: bool) -> list[Problem]:
    """Compare installed versions (None: missing) with declared ranges.

    amd: torch is, or should be, a ROCm build. A plain `pip install torch` would replace it, so the advice differs.
    """
    problems = []
    for name, allowed in required.items():
        version, fix = installed[name], f'pip install "{name}{allowed}"'
        if version and _in_range(version, allowed):
            continue
        what = f"{name} {version} does not fit: {name}{allowed} is needed" if version else f"{name} is missing"
        problems.append(Problem(what, f"{_ROCM_WHEELS} ({name}{allowed})" if amd and name == "torch" else fix))
    return problems


def _in_range(version: str, allowed: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(allowed).contains(version, prereleases=True)


def gpu_problems(found: TorchFacts, driver: Driver, hiding: dict[str, str]) -> list[Problem]:
    """Why a GPU that seems to be there is not used. hiding: the environment variables that select GPUs."""
    if found.build == "none":
        return [_import_problem(found.error, driver)] if found.error else []
    if found.count:
        return _architecture_problems(found)
    rocm = found.build.startswith("ROCm")
    problems = []
    if driver.kfd != "missing" and not rocm:
        what = f"an AMD GPU is there (/dev/kfd), but torch is built for {found.build}"
        problems.append(Problem(what, f"{_ROCM_WHEELS}; until then the CPU is used"))
    if driver.nvidia and not found.build.startswith("CUDA"):
        what = f"an NVIDIA GPU is there, but torch is built for {found.build}"
        problems.append(Problem(what, "install PyTorch's CUDA build (pytorch.org); until then the CPU is used"))
    problems += _driver_problems(driver, rocm)
    return problems or _unseen_problems(found.build, driver, hiding)


def _import_problem(error: str, driver: Driver) -> Problem:
    """torch is installed but cannot be imported, for example because one of its libraries is missing."""
    amd = driver.kfd != "missing" or any(word in error for word in ("hip", "hsa", "rocm", "amd", "MIOpen"))
    fix = f"{_ROCM_WHEELS}: this build and the ROCm on this machine do not fit" if amd else "install torch again"
    return Problem(f"torch cannot be imported: {error}", fix)


def _driver_problems(driver: Driver, rocm: bool) -> Iterator[Problem]:
    """The ROCm driver's two device files: /dev/kfd (computing) and /dev/dri/renderD* (memory)."""
    mount = "in a container, start it with --device /dev/kfd --device /dev/dri; else install the amdgpu driver"
    for path, state in (("/dev/kfd", driver.kfd), ("/dev/dri/renderD*", driver.render)):
        if state == "missing" and rocm:
            yield Problem(f"torch is built for ROCm, but {path} is not there", mount)
        if state == "denied":
            mine = ", ".join(driver.groups) or "none"
            yield Problem(f"you may not open {path}: your groups are {mine}", _joining(driver.groups_needed))


def _joining(needed: tuple[str, ...]) -> str:
    """How to join the groups that may open the GPU's files; never the group root."""
    join = "sudo usermod -aG {} $USER and log in again; in a container, add --group-add"
    if "root" not in needed:
        return join.format(",".join(needed))
    rule = 'the line KERNEL=="kfd|renderD*", GROUP="render", MODE="0660" into /etc/udev/rules.d/70-amdgpu.rules'
    return f"root's group owns it: write {rule}, restart, and then {join.format('render,video')}"


def _architecture_problems(found: TorchFacts) -> list[Problem]:
    generic = rocm.TABLES["generic"]
    covered = [built == found.gfx or re.fullmatch(generic.get(built, ""), found.gfx) for built in found.architectures]
    if not found.gfx or not covered or any(covered):
        return []
    what = f"{found.name} is {found.gfx}, but this torch is built for {', '.join(found.architectures)}"
    fix = f"install a torch that is built for {found.gfx} (environment.yml), or {_relative(found)}"
    return [Problem(what, f'{fix}use device="cpu"')]


def _relative(found: TorchFacts) -> str:
    """A Radeon can run code for the first GPU of its series (gfx1103 that of gfx1100) where torch has it."""
    series = re.fullmatch(r"gfx(10|11|12)(\d).", found.gfx)
    if not series or f"gfx{series[1]}{series[2]}0" not in found.architectures:
        return ""
    return f"try HSA_OVERRIDE_GFX_VERSION={series[1]}.{series[2]}.0, a near relative, or "


def _unseen_problems(build: str, driver: Driver, hiding: dict[str, str]) -> list[Problem]:
    """Build and driver match, yet torch sees no GPU."""
    rocm = build.startswith("ROCm")
    if not (rocm or (build.startswith("CUDA") and driver.nvidia)):
        return []
    if hiding:
        given = ", ".join(f"{name}={brief(value)!r}" for name, value in hiding.items())
        return [Problem(f"torch sees no GPU; {given} may hide it", f"unset {' '.join(hiding)}, or name a GPU there")]
    if not rocm:
        return [Problem("torch sees no GPU, though its driver is there", "run nvidia-smi: driver and torch must fit")]
    there = f"its driver is there ({driver.version})" if driver.version else "its driver is there"
    fix = f"run amd-smi; where it lists the GPU, torch's ROCm does not fit the driver: {_ROCM_WHEELS}"
    return [Problem(f"torch (built for {build}) sees no GPU, though {there}", fix)]


def room_problems(free_memory_gib: float, free_disk_gib: float) -> list[Problem]:
    """Whether free memory or free disk, in GiB, is too little for the cartoon model and its videos."""
    close = "close other programs and notebooks, or give the container more memory"
    delete = "delete what you no longer need, or work on another disk"
    checks = ("memory", free_memory_gib, ENOUGH_MEMORY_GIB, close), ("disk", free_disk_gib, ENOUGH_DISK_GIB, delete)
    scarce = [check for check in checks if check[1] < check[2]]
    return [Problem(f"{free:.1f} GiB of {kind} are free; {least} are needed", fix) for kind, free, least, fix in scarce]


def installation_problems(distribution: str = DISTRIBUTION) -> list[Problem]:
    """Compare this Python's packages with what the installed `distribution` declares."""
    version = probe.installed_version(distribution)
    if version is None:
        what = f"{distribution} is not installed in this Python ({sys.executable})"
        return [Problem(what, "pip install -e . in the repository, or choose the kernel that has it")]
    if probe.installed_version("packaging") is None:
        return [Problem("packaging is missing, so versions cannot be compared", "pip install packaging")]
    allowed, required = probe.requirements(distribution)
    amd = probe.find_driver().kfd != "missing" or "rocm" in (probe.installed_version("torch") or "")
    installed = {name: probe.installed_version(name) for name in required}
    problems = python_problems(platform.python_version(), allowed) + package_problems(required, installed, amd)
    if version != __version__:
        what = f"{DISTRIBUTION} {__version__} runs, but {version} is installed"
        problems.insert(0, Problem(what, "pip install -e . in the repository, then restart the kernel"))
    return problems
