"""Symptoms of a broken video: numbers read off its pixels, without knowing what was asked or how it was made."""

import numpy as np

from t2v_helpers.core import checking
from t2v_helpers.core.video import LUMA
from t2v_helpers.metrics.pixels import flicker, sharpness


def symptoms(frames: np.ndarray) -> dict[str, float]:
    """Gauge -> number, of a video uint8 [f h w 3]; all are finite, for a black video too.

    light, contrast: mean and standard deviation of the grey levels; edges: root of the sharpness; motion: mean change
    from frame to frame; flicker: that of what stands still; colour: largest minus smallest of red, green and blue; all
    in grey levels. red:blue and burnt (pixels that are fully black or white in one colour) in per cent. seam: ten times
    the step at the middle column, compared with other columns. ValueError: frames, fewer than two of them.
    """
    frames = checking.frames(frames, least=2)
    y = frames @ LUMA  # [f h w]
    red, _, blue = frames.reshape(-1, 3).mean(axis=0)
    return {
        "light": y.mean(),
        "contrast": y.std(),
        "edges": sharpness(frames) ** 0.5,
        "motion": np.abs(np.diff(y, axis=0)).mean(),
        "flicker": 255 * flicker(frames),
        "colour": np.ptp(frames, axis=-1).mean(),
        "red:blue": 100 * red / (blue + 1),
        "burnt": 100 * np.mean((frames <= 2) | (frames >= 253)),
        "seam": _seam(y),
    }


def _seam(y: np.ndarray) -> float:
    """The step at the middle column of y [f h w], times ten, over that at the median column."""
    steps = np.abs(np.diff(y, axis=2)).mean(axis=(0, 1))  # [w-1], column to column
    return 10 * steps[len(steps) // 2] / (np.median(steps) + 1) if len(steps) else 0.0
