"""The live page's JavaScript, run by node, and the page itself, made of the shipped student and its teacher.

    js("words.js", "m.distance(...data)", data)    the value of an expression; m is the module of web/src, data any JSON
    export                                         the module web/export.py
    parts                                          the folder that it writes
    page                                           the page's file

Where there is no student, no node, no npm, no onnx or no chromium, what needs it is skipped; `make page` brings the
packages.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from t2v_helpers.core.model_names import MODELS

WEB = Path(__file__).parents[2] / "web"
PACKAGES = WEB / "node_modules"
RUN = """
import {{ readFileSync }} from "node:fs";
import * as m from "{module}";
const data = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(await ({expression})));
"""


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if not found:
        pytest.skip("there is no node here: install Node.js 20 or newer")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip("v\n").split(".")[0]) < 20:
        pytest.skip(f"node is {version.strip()}: install 20 or newer")
    return found


@pytest.fixture(scope="session")
def js(node):
    def run(module: str, expression: str, data: object = None) -> object:
        code = RUN.format(module=(WEB / "src" / module).as_uri(), expression=expression)
        command = [node, "--input-type=module", "-e", code]
        done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def packages(node) -> Path:
    if not (PACKAGES / "onnxruntime-web").is_dir():
        pytest.skip("web/node_modules is not there: `make page` brings it")
    return PACKAGES


def needs_onnx() -> None:
    if not importlib.util.find_spec("onnx") or not importlib.util.find_spec("onnxscript"):
        pytest.skip("onnx and onnxscript are not installed: `make page` brings them")


@pytest.fixture(scope="session")
def export() -> ModuleType:
    """The module web/export.py."""
    needs_onnx()
    spec = importlib.util.spec_from_file_location("web_export", WEB / "export.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def parts(packages, tmp_path_factory) -> Path:
    needs_onnx()
    if not MODELS["cartoon"].student.is_dir():
        pytest.skip("the page needs the student, which is not there: `t2v train halving student` makes it")
    folder = tmp_path_factory.mktemp("parts")
    subprocess.run([sys.executable, WEB / "export.py", "--to", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def page(parts, node, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("page") / "live.html"
    subprocess.run([node, WEB / "build.js", parts, file], check=True, capture_output=True)
    return file


@pytest.fixture(scope="session")
def known() -> dict:
    """What the page knows of the world, of its tokenizer and of its noise, without an export."""
    from t2v_helpers import cartoon
    from t2v_helpers.cartoon import grammar
    from t2v_helpers.core.paths import PACKAGE

    tokenizer = json.loads((PACKAGE / "weights" / "model" / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))
    places, styles = ({k: words[0] for k, words in x.items()} for x in (grammar.PLACE_WORDS, grammar.STYLE_WORDS))
    world = {"vocabulary": cartoon.vocabulary(), "subjects": grammar.SUBJECTS, "keywords": grammar.KEYWORDS}
    return {"tokens": 24, "tokenizer": tokenizer["model"], "world": world | {"places": places, "styles": styles}}
