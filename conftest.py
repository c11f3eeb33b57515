"""nbval runs each notebook and compares its text. Its pictures and videos are compared here, in that same run.

A PNG or an mp4 is not compared byte by byte, since another processor rounds otherwise. It is decoded, and held to the
tolerances below. Another matplotlib draws other letters, and so moves axes by some pixels; another ffmpeg loses other
details of a video. Where they are not the pinned ones, with which the stored pictures were made, each pixel may be any
that the other picture has near by.
A cell whose output nbval ignores (tag nbval-ignore-output) is left alone here too.
"""

import base64
import re
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from nbval.plugin import IPyNbCell, coalesce_streams

MEAN_DIFFERENCE = 2.0  # of 255 grey levels, over all pixels
FAR, FAR_SHARE = 48, 0.01  # at most 1 % of the values may be further off than 48 grey levels
NEAR, NEAR_MEAN = 5, 0.5  # pixels, grey levels: the same plot has 0.2, one with its legend elsewhere 0.8, another one 3
_PINS = dict(re.findall(r"^(\S+)==(\d+\.\d+)", Path(__file__).with_name("constraints.txt").read_text(), re.M))
_MADE_BY = {"image/png": "matplotlib", "video/mp4": "imageio-ffmpeg"}
FORGIVEN = {kind for kind, package in _MADE_BY.items() if version(package).split(".")[:2] != _PINS[package].split(".")}
_SUFFIX = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "video/mp4": ".mp4"}
_EMBEDDED = re.compile(rf"data:({'|'.join(_SUFFIX)});base64,([A-Za-z0-9+/=\s]+)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    if isinstance(item, IPyNbCell) and item.options["check"] and item.cell.execution_count is not None:
        problem = compare(pictures(coalesce_streams(item.cell.outputs)), pictures(item.test_outputs))
        if problem:
            item.raise_cell_error("Cell pictures differ", problem)
    return result


@pytest.fixture(scope="session")
def likeness() -> SimpleNamespace:
    """How pictures are compared, for the tests of other pictures than a notebook's."""
    return SimpleNamespace(difference=difference, apart=apart, forgiven=FORGIVEN, pins=_PINS)


def pictures(outputs: list[dict]) -> list[tuple[str, bytes]]:
    """Every picture and video of a cell's outputs as (kind, bytes): those on their own, and those inside of HTML."""
    found = []
    for output in outputs:
        data = output.get("data", {})
        found += [(kind, data[kind]) for kind in _SUFFIX if kind in data]
        found += _EMBEDDED.findall(data.get("text/html", ""))
    return [(kind, base64.b64decode(text)) for kind, text in found]


def compare(stored: list[tuple[str, bytes]], new: list[tuple[str, bytes]]) -> str:
    """What is wrong with the new pictures; nothing where each is like the stored one."""
    kinds = [[kind for kind, _ in side] for side in (stored, new)]
    if kinds[0] != kinds[1]:
        return f"The notebook holds the pictures {kinds[0]}, and this run made {kinds[1]}."
    pairs = zip(stored, new, strict=True)
    problems = (difference(decode(*a), decode(*b), a[0] in FORGIVEN) for a, b in pairs)
    return "\n".join(f"Picture {i} ({kinds[0][i]}): {problem}" for i, problem in enumerate(problems) if problem)


def difference(stored: np.ndarray, new: np.ndarray, forgiving: bool = False) -> str:
    """What is wrong between two pictures, uint8 [f h w c]; nothing where they are within the tolerances."""
    if forgiving and len(stored) == len(new) and np.allclose(stored.shape, new.shape, rtol=0.05):
        mean = apart(stored, new)
        return "" if mean <= NEAR_MEAN else f"mean difference {mean:.2f} from what is near by (at most {NEAR_MEAN:g})."
    if stored.shape != new.shape:
        return f"stored as {list(stored.shape)}, now {list(new.shape)} [f h w c]."
    off = np.abs(stored.astype(np.int16) - new)
    mean, share = off.mean(), (off > FAR).mean()
    if mean <= MEAN_DIFFERENCE and share <= FAR_SHARE:
        return ""
    return (
        f"mean difference {mean:.2f} grey levels (at most {MEAN_DIFFERENCE:g}), "
        f"{share:.1%} further off than {FAR} (at most {FAR_SHARE:.0%})."
    )


def apart(stored: np.ndarray, new: np.ndarray) -> float:
    """How far each picture goes beyond the darkest and lightest that the other has within NEAR pixels, grey levels.

    uint8 [f h w c], as many frames; the mean over all pixels, of the worse direction. 0 for one that moved so far.
    """
    size = stored.shape[2:0:-1]
    pairs = [(a, cv2.resize(b, size, interpolation=cv2.INTER_NEAREST)) for a, b in zip(stored, new, strict=True)]
    return max(np.mean([_beyond(a, b) for a, b in pairs]), np.mean([_beyond(b, a) for a, b in pairs]))


def _beyond(one: np.ndarray, other: np.ndarray) -> float:
    around = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    allowed = np.clip(one, cv2.erode(other, around), cv2.dilate(other, around))  # [h w c]
    return np.abs(one.astype(np.int16) - allowed).mean()


def decode(kind: str, data: bytes) -> np.ndarray:
    """The pixels, uint8 [f h w c]; a still picture has one frame. ValueError where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"picture{_SUFFIX[kind]}")
        path.write_bytes(data)
        frames = _video(path) if kind == "video/mp4" else cv2.imreadmulti(str(path), flags=cv2.IMREAD_COLOR)[1]
    if len(frames) == 0:
        raise ValueError(f"{kind} of {len(data)} bytes cannot be decoded.")
    return np.stack(frames)


def _video(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return frames
