"""The live page's JavaScript, run by node, and the page itself, made of the shipped student and its teacher.

    js("words.js", "m.distance(...data)", data)    the value of an expression; m is the module of web/src, data any JSON
    export                                         the module web/export.py
    parts                                          the folder that it writes
    page                                           the page's file
    others, small_page                             the same of models of other shapes, with random weights

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
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, TextToVideoSDPipeline, UNet3DConditionModel

from t2v_helpers import cartoon
from t2v_helpers.cartoon import grammar
from t2v_helpers.core import paths
from t2v_helpers.core.model_names import MODELS
from t2v_helpers.model import loading
from t2v_helpers.model.pipeline import CoursePipeline
from t2v_helpers.training import export as exporting
from t2v_helpers.training.student import HalvingTask

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
def in_chromium(node):
    """in_chromium(script, page, ...): what a script of web/test sees in Chromium, from its JSON."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("there is no chromium here: install it to try the page in it")

    def run(script: str, page: Path, *words: str) -> dict:
        done = subprocess.run([node, WEB / "test" / script, page, chromium, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


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


def built(node: str, parts: Path, folder: Path) -> Path:
    """The page made of the parts, in a folder."""
    subprocess.run([node, WEB / "build.js", parts, folder / "live.html"], check=True, capture_output=True)
    return folder / "live.html"


@pytest.fixture(scope="session")
def page(parts, node, tmp_path_factory) -> Path:
    return built(node, parts, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def small_page(others, node, tmp_path_factory) -> Path:
    """The page of the other models, which are fast even where there is no GPU."""
    return built(node, others[0], tmp_path_factory.mktemp("small"))


def other_models(folder: Path) -> dict[str, Path]:
    """A student and its teacher of other shapes, with random weights: 16 latent channels, latents of 4x4 pixels.

    They read words as the cartoon does. tiny: an autoencoder to sketch with.
    """
    torch.manual_seed(0)
    vae = {"block_out_channels": (8,) * 4, "norm_num_groups": 4, "latent_channels": 16, "sample_size": 32}
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    tiny = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4, "latent_channels": 16}
    AutoencoderTiny(**tiny).save_pretrained(folder / "tiny")
    pipe = TextToVideoSDPipeline.from_pretrained(paths.WEIGHTS / "model", dtype=torch.float32)
    parts = AutoencoderKL(**vae, **kinds), other_unet(), pipe.text_encoder, pipe.tokenizer
    exporting.export(exporting.as_pipeline(*parts, 0.18215), folder / "teacher")
    pipe.register_modules(unet=other_unet())
    exporting.export_student(pipe, HalvingTask.schedule, folder / "student")
    return {name: folder / name for name in ("student", "teacher", "tiny")}


def other_unet() -> UNet3DConditionModel:
    blocks = {"down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"), "block_out_channels": (16, 32),
              "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D")}  # fmt: skip
    sizes = {"sample_size": 4, "in_channels": 16, "out_channels": 16, "layers_per_block": 1, "norm_num_groups": 8}
    return UNet3DConditionModel(**sizes, **blocks, cross_attention_dim=128, attention_head_dim=8)


@pytest.fixture(scope="session")
def others(export, packages, tmp_path_factory) -> tuple[Path, dict[str, CoursePipeline]]:
    """The parts of a student and its teacher of other shapes, and their pipelines."""
    place = tmp_path_factory.mktemp("others")
    folders = other_models(place)
    export.export(**folders, to=place / "parts")
    teacher = loading.load(folders["teacher"], device="cpu", dtype="float32", quiet=True)
    return place / "parts", {"student": loading.with_student(teacher, folders["student"]), "teacher": teacher}


@pytest.fixture(scope="session")
def known() -> dict:
    """What the page knows of the world, of its tokenizer and of its noise, without an export."""
    tokenizer = json.loads((paths.WEIGHTS / "model" / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))
    places, styles = ({k: words[0] for k, words in x.items()} for x in (grammar.PLACE_WORDS, grammar.STYLE_WORDS))
    world = {"vocabulary": cartoon.vocabulary(), "subjects": grammar.SUBJECTS, "keywords": grammar.KEYWORDS}
    return {"tokens": 24, "tokenizer": tokenizer["model"], "world": world | {"places": places, "styles": styles}}
