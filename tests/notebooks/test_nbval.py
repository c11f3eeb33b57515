"""The two additions to nbval: what is sanitised (and what must not be), and the comparison of pictures and videos."""

import base64
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import cv2
import imageio.v3 as iio
import nbformat
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nbval.plugin import get_sanitize_patterns

ROOT = Path(__file__).parents[2]
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"


def sanitized(text: str) -> str:
    for regex, replacement in get_sanitize_patterns(SANITIZE.read_text()):
        text = re.sub(regex, replacement, text)
    return text


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("took 7.5 s", "took 12 s"),
        ("3 min 20.1 seconds", "2 min 1 seconds"),
        ("peak 812.5 MiB", "peak 1,020 MiB"),
        ("100%|█████| 25/25 [00:03<00:00,  7.5it/s]", "100%|█████| 25/25 [00:09<00:00,  2.5it/s]"),
        ("denoising 40.2 it/s", "denoising 8 it/s"),
        ("on cpu, float32", "on cuda:0, float32"),
        ("torch 2.13.0+cpu", "torch 2.14.1"),
        ("frames 3f2a9c0011bb…", "frames 77aa00ffeedd…"),
        ("sha256 " + "0a" * 32, "sha256 " + "b1" * 32),
        ("<Video at 0x7f00aa12bc>", "<Video at 0x7f11aa12bc>"),
        ("RuntimeError: mat1 and mat2 shapes", "RuntimeError: mm: mat1 and mat2 shapes"),
        ("wrote /a/b/outputs/dog.mp4", "wrote /somewhere/else/dog.mp4"),
        ("CPU                      one, 2 threads\nseed 1", "CPU                      another, 8 threads\nseed 1"),
        ("max abs diff 4.77e-07", "max abs diff 9e-06"),
        ("max abs diff 4.8e-07", "max abs diff 0.0e+00"),
        ('<img src="data:image/png;base64,AAAA">', '<img src="data:image/png;base64,BBBB">'),
    ],
)
def test_what_varies_is_sanitised(stored, new):
    assert sanitized(stored) == sanitized(new)


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("5 of 8 right", "6 of 8 right"),
        ("25 steps, seed 1", "25 steps, seed 2"),
        ("mean 0.5", "mean 0.6"),
        ("max abs diff 4.77e-07", "max abs diff 4.77e-03"),
        ("max abs diff 0.0e+00", "max abs diff 1.0e+00"),
        ("[2, 8, 16, 8, 8]", "[2, 8, 16, 8, 9]"),
        ("wrote outputs/dog.mp4", "wrote outputs/cat.mp4"),
        ("wrote /a/b/dog.mp4", "wrote /a/b/cat.mp4"),
        ("torch.float32", "torch.float16"),
        ("<b>dog</b> 3/4", "<b>cat</b> 3/4"),
        ("dancing / sleeping 3/4", "dancing / jumping 3/4"),
    ],
)
def test_what_matters_is_not_sanitised(stored, new):
    assert sanitized(stored) != sanitized(new)


def test_each_kind_that_is_sanitised_has_its_reason():
    text = SANITIZE.read_text()
    sections = re.findall(r"^\[([\w ]+)\] \w.*$", text, flags=re.MULTILINE)
    assert len(sections) == len(re.findall(r"^\[", text, flags=re.MULTILINE)) >= 8
    assert len(get_sanitize_patterns(text)) == text.count("\nregex: ")


# --- pictures, in one run of nbval over one small notebook


def picture(seed: int, noise: int = 0, size: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(20, 230, (8, 8, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(int)
    return (smooth + np.random.default_rng(9).integers(-noise, noise + 1, smooth.shape)).clip(0, 255).astype(np.uint8)


def png(image: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()


def video(seed: int, quality: int) -> str:
    frames = np.stack([picture(seed + i // 2) for i in range(6)])
    data = iio.imwrite("<bytes>", frames, extension=".mp4", fps=8, quality=quality, macro_block_size=1)
    return f'<video src="data:video/mp4;base64,{base64.b64encode(data).decode()}"></video>'


def cell(source: str, *outputs: dict, tags: tuple = ()):
    outputs = [nbformat.v4.new_output("display_data", data=data) for data in outputs]
    return nbformat.v4.new_code_cell(source, outputs=outputs, execution_count=1, metadata={"tags": list(tags)})


def shows(kind: str, new: str, stored: str, tags: tuple = ()):
    data = {"text/plain": "a picture", kind: stored}
    source = f"from IPython.display import display\ndisplay({{'text/plain': 'a picture', {kind!r}: {new!r}}}, raw=True)"
    return cell(source, data, tags=tags)


CASES = {
    "the same PNG": (shows("image/png", png(picture(1)), png(picture(1))), ""),
    "a PNG rounded otherwise": (shows("image/png", png(picture(1)), png(picture(1, noise=2))), ""),
    "another PNG": (shows("image/png", png(picture(1)), png(picture(2))), "Picture 0 (image/png): mean difference"),
    "another size": (shows("image/png", png(picture(1)), png(picture(1, size=32))), "stored as [1, 32, 32, 3], now"),
    "a PNG too many": (cell("None", {"image/png": png(picture(1))}), "['image/png'], and this run made []"),
    "ignored": (shows("image/png", png(picture(1)), png(picture(2)), tags=("nbval-ignore-output",)), ""),
    "a video coded otherwise": (shows("text/html", video(1, 9), video(1, 8)), ""),
    "another video": (shows("text/html", video(1, 8), video(5, 8)), "Picture 0 (video/mp4): mean difference"),
    "not a PNG": (shows("image/png", "AAAA", png(picture(1))), "image/png of 3 bytes cannot be decoded"),
    "another text": (cell("print(1 + 1)", {"text/plain": "3"}), "Cell outputs differ"),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, str]:
    """What nbval said of each case: the failure's text, or nothing."""
    folder = tmp_path_factory.mktemp("nbval")
    for name in ("conftest.py", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell for cell, _ in CASES.values()]), folder / "cases.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-sanitize-with", SANITIZE]
    command += ["--nbval-kernel-startup-timeout", "300"]
    command += ["--rootdir", folder, "--junitxml", folder / "out.xml", "-p", "no:cacheprovider", "cases.ipynb"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=400)
    found = ElementTree.parse(folder / "out.xml").iter("testcase")
    texts = ["".join("".join(part.itertext()) + part.get("message", "") for part in case) for case in found]
    return dict(zip(CASES, texts, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_pictures_and_videos_are_compared(verdicts, case):
    expected = CASES[case][1]
    assert expected in verdicts[case] and bool(expected) == bool(verdicts[case])


# --- plots and videos, where another matplotlib draws the letters, or another ffmpeg codes the video


def plot(letters: float, heights: tuple[int, ...] = (1, 3, 2), legend: str = "upper left") -> np.ndarray:
    """A bar chart with labels of that size, uint8 [1 h w c]."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    ax = figure.add_subplot()
    ax.bar(range(len(heights)), heights, label="DDIM and its friends")
    ax.set_title("how far a scheduler is from where fifty steps arrive", fontsize=letters)
    ax.set_xlabel("scheduler", fontsize=letters)
    ax.set_ylabel("grey levels", fontsize=letters)
    ax.legend(loc=legend)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[None, ..., :3]


def test_other_letters_are_forgiven_where_matplotlib_is_another_and_only_there(likeness):
    assert likeness.difference(plot(10), plot(10.5), forgiving=True) == ""
    assert "further off" in likeness.difference(plot(10), plot(10.5))


@pytest.mark.parametrize("changed", [{"heights": (3, 1, 2)}, {"legend": "upper right"}], ids=str)
def test_another_plot_is_not_forgiven(likeness, changed):
    other = plot(10, **changed)
    assert "near by" in likeness.difference(plot(10), other, forgiving=True)
    assert "near by" in likeness.difference(other, plot(10), forgiving=True)


def test_a_plot_of_another_size_is_forgiven_only_where_it_is_a_little_one(likeness):
    assert likeness.difference(plot(10), plot(10)[:, :-3], forgiving=True) == ""
    assert "stored as" in likeness.difference(plot(10), plot(10)[:, :-20], forgiving=True)


def test_a_video_with_fewer_frames_is_not_forgiven(likeness):
    frames = np.repeat(plot(10), 40, axis=0)  # one frame of 40 is within the 5 % that a side may differ
    assert "stored as" in likeness.difference(frames, frames[:-1], forgiving=True)


def test_what_is_forgiven_is_what_is_not_pinned(likeness):
    for kind, package in (("image/png", "matplotlib"), ("video/mp4", "imageio-ffmpeg")):
        assert (kind in likeness.forgiven) != version(package).startswith(f"{likeness.pins[package]}.")


def test_the_stored_plots_are_those_of_the_pinned_matplotlib(likeness):
    for path in ROOT.glob("notebooks/*.ipynb"):
        found = re.findall(rb"Matplotlib version(\d+\.\d+)", b"".join(pngs_of(path)))
        assert set(found) <= {likeness.pins["matplotlib"].encode()}, path.name


def pngs_of(path: Path) -> list[bytes]:
    cells = nbformat.read(path, as_version=4).cells
    data = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [base64.b64decode(one["image/png"]) for one in data if "image/png" in one]
