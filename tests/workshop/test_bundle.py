"""The archive for seats without a network: what is in it, and what is said where something was not made."""

import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from t2v_helpers.core.paths import ROOT
from workshop import bundle

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture
def root(tmp_path) -> Path:
    """A repository with one file that git knows and one that it does not, and all that is made."""
    made = ("wheels/torch.whl", "site/index.html", "site/_static/a.css", "outputs/live.html", "outputs/secret.mp4")
    slides = ("outputs/workshop/slides_90_minutes.html",)
    for name in ("README.md", "notes.txt", *made, *slides):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    subprocess.run(["git", "-C", tmp_path, "init", "-q"], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", "README.md"], check=True)
    return tmp_path


def test_it_holds_what_git_knows_and_what_was_made_and_nothing_of_its_packer(root):
    with tarfile.open(bundle.pack(root / "outputs" / "seats.tar", root)) as tar:
        members = {member.name: member for member in tar.getmembers()}
        assert tar.extractfile("course/README.md").read() == b"README.md"
    names = {name.removeprefix("course/") for name in members}
    assert names == {
        "README.md", "wheels/torch.whl", "site/index.html", "site/_static/a.css", "outputs/live.html",
        "outputs/workshop/slides_90_minutes.html",
    }  # fmt: skip
    assert {(one.uid, one.gid, one.uname, one.gname) for one in members.values()} == {(0, 0, "", "")}


def test_weights_come_along_where_they_were_fetched(root):
    (root / "weights" / "hub").mkdir(parents=True)
    (root / "weights" / "hub" / "unet.safetensors").write_text("numbers")
    assert root / "weights/hub/unet.safetensors" in bundle.contents(root)


@pytest.mark.parametrize("name, command", bundle.MADE.items())
def test_what_was_not_made_is_named_with_its_command_and_nothing_is_written(root, name, command):
    (root / name).rename(root / "gone")
    with pytest.raises(FileNotFoundError, match=f"{name} is not there: run `{command}`"):
        bundle.pack(root / "outputs" / "seats.tar", root)
    assert not (root / "outputs" / "seats.tar").exists()


def test_the_command_says_what_it_packed_or_what_is_missing(root, capsys):
    assert bundle.main([str(root / "seats.tar")], root) == 0 and "seats.tar: 0 MB" in capsys.readouterr().out
    (root / "site" / "index.html").unlink()
    assert bundle.main([str(root / "seats.tar")], root) == 2 and "make site" in capsys.readouterr().err


@pytest.mark.parametrize("words, there, said", [([], {}, "''"), (["gone.tar"], {}, "'gone.tar'"),
                                                ([__file__], {"PYTHON": "python9"}, "'python9'")])  # fmt: skip
def test_what_cannot_be_proved_is_refused(tmp_path, words, there, said):
    command = ["bash", ROOT / "workshop" / "prove_bundle.sh", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"} | there)
    assert done.returncode == 2 and said in done.stderr and done.stdout == ""


def test_make_fetches_the_packages_that_it_would_install():
    wheels = re.search(r"pip wheel .*-w wheels \$\(or \$\(TORCH\),torch\) (.*)$", MAKEFILE, re.M)[1]
    assert wheels == "'setuptools>=77' '.[dev]'"  # the first builds the course's own package
    assert 'requires = ["setuptools>=77"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"pip install -c \S+ -e '\.\[dev\]'", MAKEFILE)


def test_the_proof_is_a_sound_script_that_asks_no_index():
    script = ROOT / "workshop" / "prove_bundle.sh"
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    text = script.read_text(encoding="utf-8")
    assert "PIP_NO_INDEX=1" in text and "PIP_CONFIG_FILE=/dev/null" in text and "There is a network here" in text


def test_it_is_made_and_proved_once_a_week():
    text = (ROOT / ".github" / "workflows" / "bundle.yml").read_text(encoding="utf-8")
    workflow = yaml.load(text, yaml.BaseLoader)  # "on" stays a word
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make bundle", "make prove-bundle"]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", workflow["on"]["schedule"][0]["cron"])
