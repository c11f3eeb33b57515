"""The four styles: each is a filter for finished frames, uint8 [f h w 3] -> uint8 [f h w 3]."""

from functools import cache

import cv2
import numpy as np

from t2v_helpers.core.video import LUMA


def plain(frames: np.ndarray) -> np.ndarray:
    """The frames as they are."""
    return frames


def black_and_white(frames: np.ndarray) -> np.ndarray:
    """Luminance only (ITU-R BT.601 weights)."""
    return np.repeat((frames @ LUMA)[..., None], 3, axis=-1).astype(np.uint8)


def pencil_sketch(frames: np.ndarray) -> np.ndarray:
    """Dark lines where colours meet, on faintly shaded cream paper."""
    lines = np.stack([_edges(frame) for frame in frames])
    tone = 205 + 0.17 * (frames @ LUMA)
    paper = np.clip(tone - 1.5 * lines, 30, 255)[..., None]
    return (paper * np.array([1.0, 0.985, 0.95], np.float32)).astype(np.uint8)


def _edges(frame: np.ndarray) -> np.ndarray:
    """The largest change of any channel within 2x2 pixels, softened: float32 [h w]."""
    gradient = cv2.morphologyEx(frame, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
    return cv2.GaussianBlur(gradient.max(axis=-1), (3, 3), 0).astype(np.float32)


def van_gogh(frames: np.ndarray) -> np.ndarray:
    """Swirling strokes in blue and gold, in the manner of The Starry Night."""
    warp_x, warp_y, strokes = _swirls(frames.shape[1], frames.shape[2])
    warped = np.stack([cv2.remap(f, warp_x, warp_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) for f in frames])
    light = (warped @ LUMA)[..., None] / 255
    gold, blue = np.array([255, 214, 70], np.float32), np.array([22, 44, 140], np.float32)
    painted = 0.55 * warped + 0.45 * (light * gold + (1 - light) * blue)
    return np.clip(painted * strokes[..., None], 0, 255).astype(np.uint8)


@cache
def _swirls(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A static field of swirls, one every 32 pixels: where each pixel is sampled, and how bright its stroke is."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = (x % 32) - 15.5, (y % 32) - 15.5
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    strokes = 1 + 0.22 * np.sin(2 * np.pi * radius / 8 + angle)
    wave = 1.1 * np.sin(2 * np.pi * y / 16), 1.1 * np.sin(2 * np.pi * x / 16)
    return x + wave[0], y + wave[1], strokes.astype(np.float32)


APPLY = {style.__name__.replace("_", " "): style for style in (plain, van_gogh, pencil_sketch, black_and_white)}
