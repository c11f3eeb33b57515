"""The six places: each is a function (image, t, shift) that paints a moving background.

t is the time in seconds; shift moves the scenery sideways, in canvas pixels. The ground begins near y = HORIZON.
"""

import cv2
import numpy as np

from t2v_helpers.cartoon.shapes import ellipse, paint, polygon

HORIZON = 84
NEON = ((255, 40, 150), (40, 220, 255), (255, 220, 30), (80, 255, 90))


def _box(image, x, y, w, h, colour) -> None:
    cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)


def times_square(image: np.ndarray, t: float, shift: float) -> None:
    """Night, skyscrapers, and billboards whose colours change four times a second."""
    image[:HORIZON] = (24, 20, 52)
    image[HORIZON:] = (66, 66, 76)
    image[104:109] = (240, 200, 60)
    for k, (x, top, w) in enumerate(((-10, 14, 38), (32, 36, 26), (70, 30, 26), (100, 8, 40))):
        _box(image, x + shift, top, w, HORIZON - top, (52, 48, 92))
        for row, y in enumerate(range(top + 6, HORIZON - 16, 24)):
            colour = NEON[(k + row + int(4 * t)) % 4]
            _box(image, x + shift + 5, y, w - 10, 15, colour)


def lake(image: np.ndarray, t: float, shift: float) -> None:
    """A morning sky, green hills, and blue water with moving ripples."""
    image[:HORIZON] = (170, 216, 248)
    image[HORIZON:] = (104, 178, 84)
    ripple = 8 * np.sin(2 * np.pi * t / 2)
    sun = ellipse((255, 226, 90), 104 + shift / 2, 20, 12, 12)
    hills = [ellipse((126, 190, 112), x + shift, HORIZON + 4, rx, ry) for x, rx, ry in ((26, 44, 26), (106, 40, 20))]
    water = ellipse((52, 120, 220), 64 + shift, 106, 74, 18)
    crests = [ellipse((120, 180, 246), x + shift, y, 16, 3) for x, y in ((36 + ripple, 102), (94 - ripple, 112))]
    paint(image, [sun, *hills, water, *crests])


def beach(image: np.ndarray, t: float, shift: float) -> None:
    """A light sky, a strip of sea whose foam advances and retreats, sand, and a palm tree."""
    image[:62] = (150, 232, 240)
    image[62:HORIZON] = (20, 158, 190)
    image[HORIZON:] = (246, 218, 150)
    foam = int(3 + 3 * np.sin(2 * np.pi * t / 2))
    image[HORIZON - 2 : HORIZON + foam] = (244, 252, 250)
    green, x = (40, 150, 80), 18 + shift
    leaves = [ellipse(green, x + 15 * np.cos(a), 22 + 8 * np.sin(a), 16, 5, a) for a in (0.4, 2.7, -0.5, 3.7)]
    trunk = polygon((150, 100, 60), (x - 4, 24), (x + 3, 24), (x + 5, 96), (x - 7, 96))
    paint(image, [ellipse((255, 246, 190), 106, 18, 11, 11), trunk, *leaves])


def moon(image: np.ndarray, t: float, shift: float) -> None:
    """A black sky with the Earth and twinkling stars, above grey dust with craters."""
    image[:HORIZON] = (10, 10, 20)
    image[HORIZON:] = (172, 172, 178)
    for k, (x, y) in enumerate(((50, 12), (72, 34), (14, 52), (118, 58), (40, 40), (90, 10))):
        bright = 150 + 105 * np.sin(2 * np.pi * (t + k / 3))
        paint(image, [ellipse((max(bright, 60),) * 3, x + shift, y, 2.6, 2.6)])
    holes = (20, 96, 13), (92, 100, 16), (54, 118, 15)
    craters = [ellipse((128, 128, 136), x + shift, y, rx, 4) for x, y, rx in holes]
    earth = [ellipse((60, 130, 240), 22 + shift, 22, 15, 15), ellipse((90, 200, 110), 18 + shift, 20, 7, 6)]
    paint(image, [*craters, *earth])


def forest(image: np.ndarray, t: float, shift: float) -> None:
    """Pale light between dark fir trees that sway in the wind."""
    image[:HORIZON] = (206, 236, 190)
    image[HORIZON:] = (82, 130, 58)
    sway = 3 * np.sin(2 * np.pi * t / 2)
    for k, x in enumerate((4, 36, 92, 124)):
        x, tall = x + shift, (6, 18, 14, 4)[k]
        trunk = polygon((104, 72, 44), (x - 4, 70), (x + 4, 70), (x + 4, 94), (x - 4, 94))
        lower = polygon((24, 100, 58), (x - 20, 76), (x + sway / 2, tall + 22), (x + 20, 76))
        upper = polygon((34, 122, 68), (x - 15, 50), (x + sway, tall), (x + 15, 50))
        paint(image, [trunk, lower, upper])


def room(image: np.ndarray, t: float, shift: float) -> None:
    """A warm wall, a skirting board and a wooden floor; nothing moves."""
    image[:HORIZON] = (244, 228, 202)
    image[HORIZON : HORIZON + 5] = (252, 248, 240)
    image[HORIZON + 5 :] = (190, 140, 96)


DRAW = {draw.__name__.replace("_", " "): draw for draw in (times_square, lake, beach, moon, forest, room)}
