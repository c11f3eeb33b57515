"""Seats of one machine: each has a user, a copy, a GPU, a port and limits of its own, and none can write another's."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from traitlets.config import Config

from t2v_helpers.core.paths import ROOT

SEATS = ROOT / "workshop" / "seats"
LAY_OUT = SEATS / "lay_out.sh"
SEAT = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["seat"]
PAGE = (ROOT / "docs" / "seats.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory) -> Path:
    """Two seats, in a folder that everybody may enter, as /srv is."""
    base = tmp_path_factory.mktemp("seats")
    for folder in (base, *base.parents):
        if "pytest" in str(folder):  # pytest's own folders, which are closed to others
            folder.chmod(0o755)
    subprocess.run([LAY_OUT, "2", base / "srv"], check=True, capture_output=True)
    return base / "srv"


def as_user(number: int, *command: object) -> int:
    """The status of a command that the user of this number runs, without root's rights."""
    words = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", *map(str, command)]
    return subprocess.run(words, capture_output=True, cwd="/").returncode


def may_act_as_others() -> bool:
    """Whether this is root, with all its rights: compose.yaml takes them away."""
    return shutil.which("setpriv") is not None and os.geteuid() == 0 and as_user(10_001, "true") == 0


needs_root = pytest.mark.skipif(not may_act_as_others(), reason="only root can act as other users")


@needs_root
def test_a_seat_writes_its_own_copy_and_neither_reads_nor_writes_anothers(laid_out):
    for own, other in ((1, 2), (2, 1)):
        user = 10_000 + own
        assert as_user(user, "touch", laid_out / str(own) / "notebooks" / "mine.ipynb") == 0
        assert as_user(user, "touch", laid_out / str(other) / "notebooks" / "mine.ipynb") != 0
        assert as_user(user, "cat", laid_out / str(other) / "README.md") != 0
        assert (
            as_user(user, "rm", "-rf", laid_out / str(other)) != 0 and (laid_out / str(other) / "README.md").is_file()
        )
        assert as_user(user, "mkdir", laid_out / "3") != 0


@needs_root
def test_a_copy_is_what_git_knows_and_stays_when_the_seats_are_laid_out_again(laid_out):
    known = subprocess.run(["git", "-C", ROOT, "ls-files"], check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
    there = [name for name in known if name and (ROOT / name).is_file()]
    assert all((laid_out / "1" / name).is_file() for name in there)
    (laid_out / "1" / "README.md").write_text("my notes")
    done = subprocess.run([LAY_OUT, "2", laid_out], check=True, capture_output=True, text=True)
    assert "stays as it is" in done.stdout and (laid_out / "1" / "README.md").read_text() == "my notes"


@needs_root
def test_seats_are_laid_out_from_an_unpacked_bundle_too_and_after_a_run_that_was_stopped(tmp_path):
    course = tmp_path / "course"
    for name in ("README.md", "notebooks/a.ipynb", "wheels/torch.whl", ".venv/bin/python", "outputs/live.html"):
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        (course / name).write_text(name)
    (course / "workshop" / "seats").mkdir(parents=True)
    shutil.copy(LAY_OUT, course / "workshop" / "seats")
    (tmp_path / "srv" / "1.new").mkdir(parents=True)
    subprocess.run([course / "workshop" / "seats" / LAY_OUT.name, "1", "srv"], check=True, cwd=tmp_path)
    seat = tmp_path / "srv" / "1"
    there = {path.relative_to(seat).as_posix() for path in seat.rglob("*") if path.is_file()}
    assert there == {"README.md", "notebooks/a.ipynb", "workshop/seats/lay_out.sh"}


@pytest.mark.parametrize("count", ["0", "100", "-1", "two"])
def test_a_wrong_count_is_refused_before_anything_is_made(tmp_path, count):
    done = subprocess.run([LAY_OUT, count, tmp_path / "srv"], capture_output=True, text=True)
    assert done.returncode == 2 and f"COUNT={count}" in done.stderr and not (tmp_path / "srv").exists()


def test_a_seat_of_compose_sees_its_own_copy_alone_and_changes_nothing_that_is_shared():
    mounts = {target: (source, *mode) for source, target, *mode in (_parts(one) for one in SEAT["volumes"])}
    assert mounts == {"/course": ("${SEATS:-/srv/seats}/${SEAT:-1}",), "/caches": ("caches", "ro")}
    assert SEAT["user"] == "${SEAT_USER:-10001}:${SEAT_USER:-10001}" and SEAT["profiles"] == ["seats"]
    assert {"mem_limit", "cpus", "pids_limit"} <= set(SEAT)
    assert shlex.split(SEAT["command"])[2].split() == ["ARGS=--port=${SEAT_PORT:-8801}", "--ServerApp.port_retries=0"]
    assert "privileged" not in SEAT and "no-new-privileges:true" in SEAT["security_opt"]
    assert SEAT["cap_drop"] == ["ALL"] and SEAT["cap_add"] == []


def _parts(volume: str) -> list[str]:
    """Source, target and mode of a volume; a ${NAME:-default} has a colon of its own."""
    return [part.replace("\0", ":-") for part in volume.replace(":-", "\0").split(":")]


def test_what_a_seat_writes_outside_its_notebooks_lies_in_its_copy():
    environment = SEAT["environment"]
    assert environment["HOME"] == environment["MIOPEN_USER_DB_PATH"] == "/course/.home"
    assert "/.home" in LAY_OUT.read_text(encoding="utf-8") and environment["HF_HUB_OFFLINE"] == "1"
    assert environment["HF_TOKEN"] == ""  # whoever starts the seats keeps it


def test_the_page_gives_each_seat_its_user_gpu_and_port():
    line = re.search(r"^    SEAT=\$k .*$", PAGE, re.M)[0]
    named = {name for value in (SEAT["user"], SEAT["command"], *map(str, SEAT["environment"].values()))
             for name in re.findall(r"\$\{(SEAT\w*)", value)}  # fmt: skip
    assert named == {"SEAT_USER", "SEAT_PORT", "SEAT_GPU"} and all(f"{name}=$((" in line for name in named)


# --- for those who run a JupyterHub


@pytest.fixture
def hub() -> tuple[Config, dict]:
    """jupyterhub_config.py as JupyterHub reads it, and its names."""
    config = Config()
    names = {"get_config": lambda: config}
    exec((SEATS / "jupyterhub_config.py").read_text(encoding="utf-8"), names)
    return config, names


def test_the_hub_listens_here_alone_lets_in_a_group_and_limits_each(hub):
    config, _ = hub
    assert config.JupyterHub.bind_url.startswith("http://127.0.0.1:") and config.PAMAuthenticator.allowed_groups
    systemd = config.SystemdSpawner
    assert systemd.mem_limit and systemd.cpu_limit and systemd.isolate_tmp and systemd.disable_user_sudo
    assert systemd.readonly_paths == ["/opt/course"] and "allow_all" not in str(config)


def test_the_hub_gives_a_user_one_gpu_the_same_each_time(hub):
    config, names = hub

    class Spawner:
        def __init__(self, name):
            self.user, self.environment = type("User", (), {"name": name}), {}

    def gpu(name):
        spawner = Spawner(name)
        config.Spawner.pre_spawn_hook(spawner)
        return int(spawner.environment["ROCR_VISIBLE_DEVICES"])

    seen = {name: gpu(name) for name in map("learner{}".format, range(40))}
    assert {gpu(name) == number for name, number in seen.items()} == {True}
    assert set(seen.values()) == set(range(names["GPUS"]))


def test_the_values_for_kubernetes_limit_a_seat_to_a_gpu_and_a_home_of_its_own():
    seat = yaml.safe_load((SEATS / "values.yaml").read_text(encoding="utf-8"))["singleuser"]
    assert seat["extraResource"]["limits"] == {"amd.com/gpu": "1"} and seat["allowPrivilegeEscalation"] is False
    assert seat["memory"]["limit"] and seat["cpu"]["limit"] and seat["storage"]["capacity"]


@needs_root
def test_whoever_does_not_own_the_course_gets_a_copy_as_the_values_and_the_hub_say(tmp_path):
    course, home = tmp_path / "course", tmp_path / "home"
    subprocess.run(["git", "init", "-q", course], check=True)
    somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", course, *somebody, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
    home.mkdir()
    os.chown(home, 10_001, 10_001)
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest" in str(folder):  # pytest's own folders, which are closed to others
            folder.chmod(0o755)
    values = yaml.safe_load((SEATS / "values.yaml").read_text(encoding="utf-8"))["singleuser"]
    *shell, command = values["lifecycleHooks"]["postStart"]["exec"]["command"]
    there = ["env", f"HOME={home}", *shell, command.replace("/opt/course", str(course))]
    assert as_user(10_001, *there) == 0 and (home / "course" / ".git").is_dir()
    assert as_user(10_001, *there) == 0  # the second start leaves the copy alone
    hub = (SEATS / "jupyterhub_config.py").read_text(encoding="utf-8")
    assert all(words.strip(" {};") in hub for words in re.split("&&|[|][|]", command)[1:])
