"""The six places: each is a function (image, t, shift) that paints a moving background.

t is the time in seconds, shift moves the scenery sideways (canvas pixels). The ground begins near y = HORIZON.
"""

from collections.abc import Callable

import cv2
import numpy as np

from t2v_helpers.cartoon.shapes import CANVAS, ellipse, paint, polygon

HORIZON = 84
NEON = ((255, 40, 150), (40, 220, 255), (255, 220, 30), (80, 255, 90))


def _band(image, top, bottom, colour) -> None:
    image[top:bottom] = colour


def _box(image, x, y, w, h, colour) -> None:
    cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)


def times_square(image: np.ndarray, t: float, shift: float) -> None:
    """Night, towers, and billboards whose lights change four times a second."""
    _band(image, 0, HORIZON, (24, 20, 52))
    _band(image, HORIZON, CANVAS, (66, 66, 76))
    _band(image, 104, 109, (240, 200, 60))
    for k, (x, top, w) in enumerate(((-10, 14, 38), (32, 36, 26), (70, 30, 26), (100, 8, 40))):
        _box(image, x + shift, top, w, HORIZON - top, (52, 48, 92))
        for row, y in enumerate(range(top + 6, HORIZON - 16, 24)):
            colour = NEON[(k + row + int(4 * t)) % 4]
            _box(image, x + shift + 5, y, w - 10, 15, colour)


def lake(image: np.ndarray, t: float, shift: float) -> None:
    """Morning sky, green hills, blue water with a travelling ripple."""
    _band(image, 0, HORIZON, (170, 216, 248))
    _band(image, HORIZON, CANVAS, (104, 178, 84))
    ripple = 8 * np.sin(2 * np.pi * t / 2)
    paint(
        image,
        [
            ellipse((255, 226, 90), 104 + shift / 2, 20, 12, 12),
            ellipse((126, 190, 112), 26 + shift, HORIZON + 4, 44, 26),
            ellipse((126, 190, 112), 106 + shift, HORIZON + 4, 40, 20),
            ellipse((52, 120, 220), 64 + shift, 106, 74, 18),
            ellipse((120, 180, 246), 36 + shift + ripple, 102, 16, 3),
            ellipse((120, 180, 246), 94 + shift - ripple, 112, 16, 3),
        ],
    )


def beach(image: np.ndarray, t: float, shift: float) -> None:
    """Light sky, a band of sea whose foam comes and goes, sand, a palm."""
    _band(image, 0, 62, (150, 232, 240))
    _band(image, 62, HORIZON, (20, 158, 190))
    _band(image, HORIZON, CANVAS, (246, 218, 150))
    foam = int(3 + 3 * np.sin(2 * np.pi * t / 2))
    _band(image, HORIZON - 2, HORIZON + foam, (244, 252, 250))
    green, x = (40, 150, 80), 18 + shift
    leaves = [ellipse(green, x + 15 * np.cos(a), 22 + 8 * np.sin(a), 16, 5, a) for a in (0.4, 2.7, -0.5, 3.7)]
    trunk = polygon((150, 100, 60), (x - 4, 24), (x + 3, 24), (x + 5, 96), (x - 7, 96))
    paint(image, [ellipse((255, 246, 190), 106, 18, 11, 11), trunk, *leaves])


def moon(image: np.ndarray, t: float, shift: float) -> None:
    """Black sky with the Earth and twinkling stars, grey dust with craters."""
    _band(image, 0, HORIZON, (10, 10, 20))
    _band(image, HORIZON, CANVAS, (172, 172, 178))
    for k, (x, y) in enumerate(((50, 12), (72, 34), (14, 52), (118, 58), (40, 40), (90, 10))):
        bright = 150 + 105 * np.sin(2 * np.pi * (t + k / 3))
        paint(image, [ellipse((max(bright, 60),) * 3, x + shift, y, 2.6, 2.6)])
    holes = (20, 96, 13), (92, 100, 16), (54, 118, 15)
    craters = [ellipse((128, 128, 136), x + shift, y, rx, 4) for x, y, rx in holes]
    earth = [ellipse((60, 130, 240), 22 + shift, 22, 15, 15), ellipse((90, 200, 110), 18 + shift, 20, 7, 6)]
    paint(image, [*craters, *earth])


def forest(image: np.ndarray, t: float, shift: float) -> None:
    """Pale light between dark firs that sway in the wind."""
    _band(image, 0, HORIZON, (206, 236, 190))
    _band(image, HORIZON, CANVAS, (82, 130, 58))
    sway = 3 * np.sin(2 * np.pi * t / 2)
    for k, x in enumerate((4, 36, 92, 124)):
        x, tall = x + shift, (6, 18, 14, 4)[k]
        trunk = polygon((104, 72, 44), (x - 4, 70), (x + 4, 70), (x + 4, 94), (x - 4, 94))
        lower = polygon((24, 100, 58), (x - 20, 76), (x + sway / 2, tall + 22), (x + 20, 76))
        upper = polygon((34, 122, 68), (x - 15, 50), (x + sway, tall), (x + 15, 50))
        paint(image, [trunk, lower, upper])


def room(image: np.ndarray, t: float, shift: float) -> None:
    """A warm wall, a skirting board, a wooden floor: nothing else, and nothing moves."""
    _band(image, 0, HORIZON, (244, 228, 202))
    _band(image, HORIZON, HORIZON + 5, (252, 248, 240))
    _band(image, HORIZON + 5, CANVAS, (190, 140, 96))


DRAW: dict[str, Callable[[np.ndarray, float, float], None]] = {
    "times square": times_square,
    "lake": lake,
    "beach": beach,
    "moon": moon,
    "forest": forest,
    "room": room,
}
