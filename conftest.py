"""nbval runs each notebook and compares its text. Its pictures and videos are compared here, in that same run.

A PNG or an mp4 is not compared byte by byte, since another processor rounds otherwise. It is decoded, and held to the
tolerances below. Another matplotlib draws other letters, and so moves axes a little: where it is not the pinned one,
with which the stored plots were made, a PNG is held to the rough look of the stored one.
A cell whose output nbval ignores (tag nbval-ignore-output) is left alone here too.
"""

import base64
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import matplotlib
import numpy as np
import pytest
from nbval.plugin import IPyNbCell, coalesce_streams

MEAN_DIFFERENCE = 2.0  # of 255 grey levels, over all pixels
FAR, FAR_SHARE = 48, 0.01  # at most 1 % of the values may be further off than 48 grey levels
ROUGH, ROUGH_MEAN = 32, 3.0  # squares a side, grey levels: the same plot has 1.3 at most, another one 12 or more
_PINNED = re.search(r"^matplotlib==(\d+\.\d+)", Path(__file__).with_name("constraints.txt").read_text(), re.M)[1]
OTHER_LETTERS = matplotlib.__version__.split(".")[:2] != _PINNED.split(".")
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
    return SimpleNamespace(difference=difference, squares=squares, other_letters=OTHER_LETTERS, pinned=_PINNED)


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
    problems = (difference(decode(*a), decode(*b), OTHER_LETTERS and a[0] == "image/png") for a, b in pairs)
    return "\n".join(f"Picture {i} ({kinds[0][i]}): {problem}" for i, problem in enumerate(problems) if problem)


def difference(stored: np.ndarray, new: np.ndarray, rough: bool = False) -> str:
    """What is wrong between two pictures, uint8 [f h w c]; nothing where they are within the tolerances."""
    if rough and np.allclose(stored.shape, new.shape, rtol=0.05):
        mean = np.abs(squares(stored) - squares(new)).mean()
        return "" if mean <= ROUGH_MEAN else f"mean difference {mean:.2f} of rough squares (at most {ROUGH_MEAN:g})."
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


def squares(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [f h w c] as means over ROUGH x ROUGH squares, float32 [f ROUGH ROUGH c]."""
    size = (ROUGH, ROUGH)
    return np.stack([cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA) for frame in frames])


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
