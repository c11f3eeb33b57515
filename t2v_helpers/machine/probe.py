"""Read raw facts from the system and from torch: drivers, groups, memory, versions. Nothing is judged here.

All reads of the machine are in this module, so that tests can simulate another machine. torch is imported where it is
used, because `t2v info` must be able to report that it is missing.
"""

import grp
import os
import platform
import re
import resource
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

from t2v_helpers import __version__

DISTRIBUTION = "t2v_helpers"


@dataclass(frozen=True)
class Driver:
    """GPU device files: kfd and render (ROCm's) are "missing", "denied" or "open"; groups are the user's own;
    version is the amdgpu driver's, "" where it is not loaded."""

    kfd: str
    render: str
    nvidia: bool
    groups: tuple[str, ...]
    groups_needed: tuple[str, ...]
    version: str = ""


@dataclass(frozen=True)
class TorchFacts:
    """What torch reports; build is "none" where it cannot be imported, and error says why."""

    build: str = "none"
    error: str = ""
    count: int = 0
    name: str = ""
    gfx: str = ""
    memory_bytes: int = 0
    architectures: tuple[str, ...] = ()
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    version: str = ""


def in_threads(count: int, one: str = "thread") -> str:
    """ "1 thread", "2 threads"."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def look_at_torch() -> TorchFacts:
    """torch's build, and the first GPU that it sees."""
    try:
        import torch
    except ModuleNotFoundError:
        return TorchFacts()  # reported with the other missing packages
    except (ImportError, OSError) as error:
        return TorchFacts(error=" ".join(str(error).split()))
    build = torch_build(torch.version.hip, torch.version.cuda)
    found = TorchFacts(build, threads=torch.get_num_threads(), version=torch.__version__)
    if not torch.cuda.is_available():
        return found
    gpu, built = torch.cuda.get_device_properties(0), tuple(torch.cuda.get_arch_list())
    gfx = gpu.gcnArchName.split(":")[0] if torch.version.hip else ""  # of "gfx942:sramecc+:xnack-"
    seen = {"name": gpu.name, "gfx": gfx, "memory_bytes": gpu.total_memory, "architectures": built}
    return replace(found, count=torch.cuda.device_count(), **seen)


def torch_build(hip: str | None, cuda: str | None) -> str:
    """ "ROCm 7.2", "CUDA 12.8" or "CPU", from torch.version.hip and torch.version.cuda."""
    return f"ROCm {hip}" if hip else f"CUDA {cuda}" if cuda else "CPU"


def amd_driver(system: Path = Path("/sys")) -> str:
    """The version of the amdgpu driver below `system`: AMD's own, else the kernel's; "" where it is not loaded."""
    module = system / "module" / "amdgpu"
    if not module.is_dir():
        return ""
    version = module / "version"
    return f"amdgpu {version.read_text().strip()}" if version.is_file() else f"amdgpu of Linux {platform.release()}"


def find_driver(dev: Path = Path("/dev")) -> Driver:
    """Look for kfd and dri/renderD* (AMD) and nvidia* below `dev`, and for the groups that own them."""
    kfd, render = [dev / "kfd"], sorted(dev.glob("dri/renderD*"))
    owners = {_group_name(path.stat().st_gid) for path in kfd + render if path.exists()}
    nvidia = any(dev.glob("nvidia[0-9]*"))
    mine = tuple(_group_name(number) for number in sorted({os.getgid(), *os.getgroups()}))
    return Driver(_state(kfd), _state(render), nvidia, mine, tuple(sorted(owners)), amd_driver())


def cpu_name() -> str:
    """The processor's name, as the system reports it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def cgroup_memory(root: Path = Path("/sys/fs/cgroup")) -> tuple[int, int] | None:
    """Total and free bytes under a container's limit (cgroup v2), None where there is none.

    Cached file pages that the kernel may drop at any time (inactive_file) count as free.
    """
    limit = root / "memory.max"
    if not limit.exists() or limit.read_text().strip() == "max":
        return None
    total = int(limit.read_text())
    reclaimable = int(re.search(r"^inactive_file (\d+)", (root / "memory.stat").read_text(), re.M)[1])
    used = int((root / "memory.current").read_text()) - reclaimable
    return total, max(total - used, 0)


def memory_bytes() -> tuple[int, int]:
    """Total and free bytes of main memory, as the system and the container limit them."""
    import psutil

    system = psutil.virtual_memory()
    total, free = cgroup_memory() or (system.total, system.available)
    return min(total, system.total), min(free, system.available)


def reset_peak() -> bool:
    """Reset the process's peak resident memory. False where the system cannot (not Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): 5 resets VmHWM
    except OSError:
        return False
    return True


def peak_resident_bytes() -> int:
    """The process's peak resident memory, in bytes, since `reset_peak` or its start."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def resident_bytes(pid: int) -> int:
    """A process's resident memory now, in bytes; 0 where it has ended."""
    import psutil

    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def versions() -> dict[str, str]:
    """Versions of Python, of this package, and of each package that it requires and that is installed."""
    found = {name: installed_version(name) for name in requirements()[1]}
    return {"python": platform.python_version(), DISTRIBUTION: __version__} | {n: v for n, v in found.items() if v}


def requirements(distribution: str = DISTRIBUTION) -> tuple[str, dict[str, str]]:
    """What its installed metadata declares: the range of Python, and of each package: ">=3.10", {"torch": ">=2.6"}."""
    if not (installed_version(distribution) and installed_version("packaging")):
        return "", {}
    from packaging.requirements import Requirement

    declared = map(Requirement, metadata.requires(distribution) or [])
    kept = [r for r in declared if r.marker is None or r.marker.evaluate({"extra": ""})]
    return metadata.metadata(distribution).get("Requires-Python", ""), {r.name: str(r.specifier) for r in kept}


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, None where it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _state(paths: list[Path]) -> str:
    there = [path for path in paths if path.exists()]
    if not there:
        return "missing"
    return "open" if any(os.access(path, os.R_OK | os.W_OK) for path in there) else "denied"


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:  # a container often lacks the names of the host's groups
        return str(number)
