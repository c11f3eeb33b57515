"""Clips for the tests of the blog: grey noise that moves, with a mark or without, in a file like the blog's own."""

from dataclasses import replace

import cv2
import numpy as np

from t2v_helpers.core import video
from t2v_helpers.course.blog import published

SHORT = tuple(replace(run, steps=4, frames=3) for run in published.RUNS)


def noise_clips(count: int = 6, f: int = 6, size: int = 128) -> dict[str, np.ndarray]:
    """Clips of grey noise that is another one in every frame: a scene that moves."""
    rng = np.random.default_rng(0)
    return {f"{i}.mp4": rng.integers(60, 200, (f, size, size, 3), dtype=np.uint8) for i in range(count)}


def stamped(clip: np.ndarray, top: int = 80) -> np.ndarray:
    """The clip with one word, half through, in the same place in all frames."""
    word = 255 - video.label(clip[0], "watermark")[: video.BAR].astype(float)  # [22 w 3], dark is word
    marked = clip.astype(float)
    marked[:, top : top + video.BAR] += 0.4 * word / 255 * (255 - marked[:, top : top + video.BAR])
    return marked.round().astype(np.uint8)


def write_mp4v(frames: np.ndarray, path) -> None:
    """A file as the blog's were written: MPEG-4 by OpenCV, 8 frames a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 8, frames.shape[2:0:-1])
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
