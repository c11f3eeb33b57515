"""The page of what goes wrong on a machine, made by showing `t2v info`'s own judges one machine after another."""

import sys
from dataclasses import replace
from unittest import mock

from t2v_helpers.core import tables
from t2v_helpers.machine import doctor, probe
from t2v_helpers.machine.doctor import Problem
from t2v_helpers.machine.probe import Driver, TorchFacts

NO_GPU = Driver(kfd="missing", render="missing", nvidia=False, groups=("anna",), groups_needed=())
AMD = replace(NO_GPU, kfd="open", render="open", groups_needed=("render", "video"), version="amdgpu 6.16")
NVIDIA = replace(NO_GPU, nvidia=True)
ROCM, CUDA, CPU = TorchFacts("ROCm 7.2"), TorchFacts("CUDA 12.8"), TorchFacts("CPU")
OTHER_GPU = replace(ROCM, count=1, name="AMD Radeon 780M", gfx="gfx1103", architectures=("gfx1100", "gfx942"))
BROKEN = TorchFacts("none", "libamdhip64.so: cannot open shared object file")
HEAD = """# When a seat does not work

Run `t2v preflight` there, or `t2v info` for the machine alone. Both name the fault and its cure; these are the cases
that they know. Names and numbers in them are examples.
"""
TAIL = """
What else a seat shows:

- **A grey box in place of a video.** The browser has no H.264. Take Firefox, Chrome, Edge or Safari. The filmstrip
  below the box shows the frames.
- **`t2v: command not found`.** The environment is not active: `source .venv/bin/activate`.
- **`No rule to make target 'lab'`.** The terminal is in another folder: `cd` to the course's.
- **Jupyter asks for a token.** It is in the address that `make lab` printed.
- **No browser opens.** Open that address by hand.
- **The kernel died, or a name is not defined.** *Kernel > Restart Kernel*, then *Run > Run All Above Selected Cell*. If
  it dies again, memory is short: *Kernel > Shut Down All Kernels*, and open one notebook alone.
- **A video takes minutes.** Another program computes, or the laptop saves power. Plug in, close the other kernels."""
NEEDS = {"torch": ">=2.9"}


def _with_versions(**versions: str | None) -> list[Problem]:
    """What is said of an installation with these versions; each other package is as it is here."""
    real = probe.installed_version
    with mock.patch.object(probe, "installed_version", lambda name: versions.get(name, real(name))):
        return doctor.installation_problems()[:1]


def cases() -> dict[str, list[Problem]]:
    """Machines with a fault, in words, and what `t2v info` says of each."""
    gpu, denied = doctor.gpu_problems, replace(AMD, kfd="denied", render="denied")
    return {
        "Python is too old": doctor.python_problems("3.9.2", ">=3.10"),
        "the kernel is that of another Python": _with_versions(t2v_helpers=None),
        "the course was updated, the installation was not": _with_versions(t2v_helpers="0.0.1"),
        "versions cannot be compared": _with_versions(packaging=None),
        "a package is missing": doctor.package_problems({"scipy": ">=1.15"}, {"scipy": None}, amd=False),
        "a package is too old": doctor.package_problems(NEEDS, {"torch": "2.1.1"}, amd=False),
        "torch is too old, beside an AMD GPU": doctor.package_problems(NEEDS, {"torch": "2.1.1"}, amd=True),
        "torch does not load": gpu(BROKEN, NO_GPU, {}),
        "an AMD GPU, and torch for the CPU": gpu(CPU, AMD, {}),
        "an NVIDIA GPU, and torch for the CPU": gpu(CPU, NVIDIA, {}),
        "torch for ROCm, and no driver, or a container that was not given it": gpu(ROCM, NO_GPU, {}),
        "you may not use the GPU": gpu(ROCM, denied, {}),
        "only root may use the GPU": gpu(ROCM, replace(denied, groups_needed=("root",)), {}),
        "torch was not built for this GPU": gpu(OTHER_GPU, AMD, {}),
        "a variable hides the GPU": gpu(ROCM, AMD, {"HIP_VISIBLE_DEVICES": ""}),
        "torch does not see an AMD GPU": gpu(ROCM, AMD, {}),
        "torch does not see an NVIDIA GPU": gpu(CUDA, NVIDIA, {}),
        "too little memory": doctor.room_problems(0.8, 50),
        "a full disk": doctor.room_problems(8, 0.3),
    }


def page() -> str:
    """The page, as Markdown. Two faults of a machine with one cure are one line."""
    rows = []
    for case, found in cases().items():
        cures = {one.fix: one.what for one in reversed(found)}
        rows += [(case, what, fix.replace("|", "\\|")) for fix, what in cures.items()]
    table = tables.markdown(("the case", "what it says", "the cure"), rows).replace(sys.executable, "/usr/bin/python3")
    return f"{HEAD}\n{table}\n{TAIL}"
