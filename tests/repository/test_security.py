"""SECURITY.md's promises: no pickle, no code of others, no network unless asked."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from t2v_helpers.core.paths import PACKAGE, ROOT

FORBIDDEN = {
    r"torch\.load\(": "opens pickles",
    r"\bpickle\b(?!s)": "runs code",
    r"trust_remote_code": "runs code of others",
    r"\.bin\b": "is a pickle",
    r"weights_only": "belongs to torch.load",
    r"(?<![.\w])(eval|exec)\(": "runs code",
    r"yaml\.load\(": "runs code",
    r"shell=True": "runs a shell",
    r"\.from_pretrained\(": "lets a library choose the files: see model/folders/",
    r"\.from_single_file\(|load_lora_weights\(": "lets a library choose the files",
}
ALLOWED = {  # file -> what it may hold
    "cartoon/tokenizer.py": r"\.from_pretrained\(",  # of a folder that it has just written itself
    "training/tiny_autoencoder.py": r"\.from_pretrained\(",  # in a docstring
    "model/lora.py": r"\.from_pretrained\(",
}
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
BESIDE = sorted(path for folder in ("web", "workshop", "docs", "checkpoints") for path in (ROOT / folder).glob("*.py"))
SHOWN = {  # a notebook -> lines on what ships with the course or is published: the libraries' own way, its own loop
    "06_swapping_components": ["theirs = CLIPTokenizer.from_pretrained(metrics.CARTOON)"],
    "08_train_from_scratch": ["exec(source.replace(old, new), names)"],
    "11_reproduce_the_blog": [
        "as_in_blog = DiffusionPipeline.from_pretrained(folder)",
    ],
}


def forbidden(text: str, allowed: str = "") -> dict[str, str]:
    return {words: why for words, why in FORBIDDEN.items() if words != allowed and re.search(words, text)}


@pytest.mark.parametrize("name", FILES)
def test_nothing_opens_what_may_hold_code(name):
    assert not forbidden((PACKAGE / name).read_text(encoding="utf-8"), ALLOWED.get(name, ""))


@pytest.mark.parametrize("path", BESIDE, ids=lambda path: path.name)
def test_nor_does_what_stands_beside_the_package(path):
    assert not forbidden(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_shows_the_libraries_on_our_own_files_alone(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = [
        line.strip() for cell in cells if cell["cell_type"] == "code" for line in "".join(cell["source"]).splitlines()
    ]
    shown = SHOWN.get(path.stem, [])
    assert all(line in lines for line in shown)
    assert not forbidden("\n".join(line for line in lines if line not in shown))


OFFLINE = """
import sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(hook)
from t2v_helpers import metrics
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import loading
from t2v_helpers.model.generate import generate, save

pipe = loading.load(sys.argv[1], device="cpu", dtype="float32")
made = generate(pipe, GenerationSpec("a robot is dancing", steps=1, frames=1, height=16, width=16))
save(made, sys.argv[2])
metrics.load_clip()
"""


def unshared() -> list[str]:
    """The start of a command without any network, where the system allows it."""
    words = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0:
        return words
    return []


def test_a_run_asks_for_no_network(toy_folder, tmp_path):
    command = [*unshared(), sys.executable, "-c", OFFLINE, str(toy_folder), str(tmp_path / "dog.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dog.mp4").is_file()


def test_the_page_says_what_is_promised_and_how_to_report():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert all(f"## {title}" in text for title in ("What is promised", "What is not", "How to report"))
    for name in re.findall(r"`((?:t2v_helpers|tests)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name
