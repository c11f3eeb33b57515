"""compose.yaml: the GPU is handed in, the caches outlive the container, JupyterLab stays on loopback, torch stays."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from t2v_helpers.machine import rocm
from t2v_helpers.machine.probe import TorchFacts

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAGES = "\n".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("real_model.md", "seats.md"))
ONE_PERSON = {
    name: service for name, service in SERVICES.items() if name != "seat"
}  # tests/workshop has those of seats
each_service = pytest.mark.parametrize("service", ONE_PERSON.values(), ids=list(ONE_PERSON))


def default(value: str) -> str:
    """What ${NAME:-default} becomes where NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@each_service
def test_the_gpu_is_handed_in(service):
    assert set(service["devices"]) == {"/dev/kfd", "/dev/dri"}
    groups = [default(group) for group in service["group_add"]]
    assert groups[0] == "video" and groups[1].isdigit()  # an image may have no group of the name render
    assert int(re.fullmatch(r"(\d+)gb", service["shm_size"])[1]) >= 8
    assert "privileged" not in service and "no-new-privileges:true" in service["security_opt"]
    assert service["cap_drop"] == ["ALL"] and service["cap_add"] == ["DAC_OVERRIDE"]


def test_each_option_beside_a_plain_container_has_its_reason():
    begins = TEXT.index("# What the container may do beside a plain one, and why.")
    options = TEXT[begins : TEXT.index("  working_dir:")].splitlines()
    items = [line for line in options if line.startswith("    - ") and "no-new-privileges" not in line]
    told = {line.strip(): "  # " in line for line in items}
    assert len(told) >= 7 and [item for item, has in told.items() if not has] == ["- video", "- ${RENDER_GROUP:-992}"]


def test_the_pages_line_hands_in_the_same():
    line = next(block for block in re.findall(r"```shell\n(.*?)```", PAGES, re.S) if "docker run" in block)
    service = SERVICES["course"]
    assert set(re.findall(r"--device (\S+)", line)) == set(service["devices"])
    assert re.findall(r"--group-add (\S+)", line)[0] == service["group_add"][0]
    assert re.findall(r"--cap-drop (\S+)", line) == service["cap_drop"]
    assert re.findall(r"--cap-add (\S+)", line) == service["cap_add"]
    assert not re.search(r"--privileged|--ipc|--network", line)
    assert re.findall(r"--security-opt (\S+)", line) == service["security_opt"]


@each_service
def test_the_image_is_that_of_the_workflow_and_can_be_chosen(service):
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "rocm.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert default(service["image"]) == job["container"]["image"] and "${ROCM_IMAGE:-" in service["image"]


@each_service
def test_weights_packages_and_what_miopen_found_outlive_the_container(service):
    mounts = dict(volume.split(":") for volume in service["volumes"])
    kept = [target for source, target in mounts.items() if source in COMPOSE["volumes"]]
    for name in ("HF_HOME", "VENV", "MIOPEN_USER_DB_PATH", "MIOPEN_CUSTOM_CACHE_DIR"):
        path = default(service["environment"][name])
        assert any(path == folder or path.startswith(f"{folder}/") for folder in kept), name
    assert mounts["."] == service["working_dir"]


@each_service
def test_weights_that_were_carried_along_are_taken(service):
    """The seats without a network of docs/seats.md: HF_HOME names a folder below /course."""
    assert service["environment"]["HF_HOME"].startswith("${HF_HOME:-")
    line = next(line for line in PAGES.splitlines() if line.startswith("export") and "/course/" in line)
    named = dict(re.findall(r"(\w+)=(\S+)", line))
    assert all(value.startswith(f"{service['working_dir']}/") for value in named.values() if "/" in value)
    assert set(named) <= set(service["environment"]) and named["HF_HOME"] == "/course/weights"


@each_service
def test_nothing_is_open_to_the_network(service):
    """JupyterLab alone is on the host's network, where `make lab` listens on loopback, with its token."""
    assert ("network_mode" in service) == (service is SERVICES["lab"]) and "ports" not in service
    assert not re.search(r"0\.0\.0\.0|--ip|allow_origin|password", TEXT) and "token=" not in TEXT.lower()


def test_jupyter_is_started_by_make_lab_alone():
    lab = re.search(r"^lab:.*?\n\t(.*)$", MAKEFILE, re.M)[1]
    assert SERVICES["lab"]["command"] == "make lab"
    assert "--ip=127.0.0.1" in lab and not re.search(r"token|password|0\.0\.0\.0", lab)


@each_service
def test_pip_never_replaces_the_images_torch(service):
    assert service["environment"]["TORCH"] == "" and "pip" not in service["command"]
    assert service["command"].split()[0] in ("bash", "make")


def test_make_with_torch_empty_asks_pip_for_no_torch(tmp_path):
    """What the real Makefile would do with the variable as it is in the container, and as it is elsewhere."""
    words = ["make", "-n", "lab", f"VENV={tmp_path / 'venv'}"]
    told = {}
    for torch in ("", "torch"):
        env = {"PATH": "/usr/bin:/bin", "TORCH": torch}
        told[torch] = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    assert 'constraints.txt "torch"' in told["torch"] and 'constraints.txt "torch"' not in told[""]
    assert "has no torch to keep" in told[""] and 'if [ -z "$kept" ]' in told[""]  # it ends there, if there is none


@each_service
def test_it_sets_what_t2v_info_asks_for(service):
    environ = {name: default(value) for name, value in service["environment"].items() if value is not None}
    for gfx in ("gfx942", "gfx1100"):
        found = TorchFacts("ROCm 10.1", count=1, gfx=gfx, version="2.13.0")
        left = {setting.name for setting in rocm.settings(found, environ) if not setting.fits}
        assert left <= {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL"}
        assert left <= set(service["environment"])  # handed on from the shell
