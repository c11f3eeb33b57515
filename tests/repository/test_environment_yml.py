"""pyproject.toml is the only list of dependencies; environment.yml, constraints.txt and the imports are held to it."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEV = PROJECT["optional-dependencies"]["dev"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
MODULES = sorted((ROOT / "t2v_helpers").rglob("*.py"))


def by_name(lines) -> dict[str, Requirement]:
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


def homes() -> dict[str, set[str]]:
    """Import name -> the distributions it comes from, by their files (packages_distributions does so from 3.11 on)."""
    found = defaultdict(set)
    for distribution in distributions():
        for file in distribution.files or []:
            found[file.parts[0].removesuffix(".py")].add(distribution.name)
    return found


def test_make_chooses_the_small_build_of_torch_on_linux_without_a_gpu_alone(tmp_path):
    def lines(*words: str, **environ: str) -> str:
        told = ["make", "-n", "setup", f"VENV={tmp_path / 'venv'}", "SYSTEM=Linux", "GPU=", *words]
        env = {"PATH": "/usr/bin:/bin"} | environ
        return subprocess.run(told, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout

    assert 'constraints.txt "torch" --extra-index-url https://download.pytorch.org/whl/cpu' in lines()
    by_words = [lines(word) for word in ("GPU=/dev/kfd", "SYSTEM=Darwin")]
    for other in [*by_words, lines(PIP_NO_INDEX="1"), lines(PIP_EXTRA_INDEX_URL="x")]:
        assert "--extra-index-url" not in other and 'constraints.txt "torch"' in other


def conda_pip() -> list[str]:
    return next(entry["pip"] for entry in CONDA if isinstance(entry, dict))


def imported(path: Path) -> set[str]:
    """The top-level names that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


HOMES = homes()


def test_environment_yml_lists_what_pyproject_lists():
    listed = [line for line in conda_pip() if not line.startswith("-")]
    assert sorted(listed) == sorted(PROJECT["dependencies"] + DEV)


def test_environment_yml_asks_for_the_same_python_and_for_the_constraints():
    assert f"python{PROJECT['requires-python']}" in CONDA
    assert "--constraint constraints.txt" in conda_pip()


def test_environment_yml_says_how_rocm_is_chosen():
    text = (ROOT / "environment.yml").read_text()
    assert all(word in text for word in ("rocm/pytorch", "whl/rocm", "device-gfx942", "torch.version.hip"))


def test_every_dependency_is_a_range_and_its_pin_lies_inside():
    pins = by_name(PINS)
    for name, requirement in by_name(PROJECT["dependencies"] + DEV).items():
        (pin,) = pins[name].specifier
        assert any(part.operator == ">=" for part in requirement.specifier), f"{name} has no lower bound"
        assert requirement.specifier.contains(pin.version), f"{requirement} does not allow {pin.version}"


def test_the_drift_takes_the_lower_bound_of_each_dependency():
    recipe = re.search(r"^\t(sed .+) > drift/oldest.txt$", (ROOT / "Makefile").read_text(), re.M)[1]
    written = subprocess.run(recipe, shell=True, capture_output=True, text=True, cwd=ROOT).stdout.split()
    bounds = {name: r.specifier for name, r in by_name(PROJECT["dependencies"] + DEV).items()}
    lower = [f"{name}=={part.version}" for name, parts in bounds.items() for part in parts if part.operator == ">="]
    assert written == lower


def test_constraints_are_exact_and_name_no_build_of_torch():
    marker = r"""(; python_version (>=|<) "3\.11")?"""
    assert all(re.fullmatch(rf"[\w.-]+==[\w.]+{marker}", line) for line in PINS)
    assert str(by_name(PINS)["torch"].specifier) == "==2.13.0"


def test_the_installed_python_is_allowed():
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(sys.version.split()[0])


@pytest.mark.parametrize("path", MODULES, ids=[path.relative_to(ROOT).as_posix() for path in MODULES])
def test_what_a_module_imports_is_declared(path):
    declared = by_name(PROJECT["dependencies"])
    outside = imported(path) - set(sys.stdlib_module_names) - {"t2v_helpers"}
    undeclared = {name for name in outside if not any(canonicalize_name(home) in declared for home in HOMES[name])}
    assert undeclared == set()


def test_what_ships_beside_the_code_is_package_data():
    package = ROOT / "t2v_helpers"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["t2v_helpers"]
    packed = {path for pattern in patterns for path in package.glob(pattern) if path.is_file()}
    there = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert there - packed == set()
    assert {"model_index.json", "judge.safetensors"} <= {path.name for path in packed}
