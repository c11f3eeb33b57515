"""Shapes on a small canvas: polygons in a subject's own coordinates, placed by an affine map, painted with OpenCV.

A subject fills the square [-1, 1] x [-1, 1] and faces right; x points right, y points down, and the feet are at y = 1.
A shape is (RGB colour, points [n 2]).
"""

import cv2
import numpy as np

CANVAS = 128  # pixels; frames are drawn at this size and then halved, which smooths their edges
SUBPIXEL = 4  # bits of sub-pixel precision for cv2.fillPoly
INK = (30, 26, 34)
_ANGLES = np.linspace(0, 2 * np.pi, 18, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_HALF = np.linspace(-np.pi / 2, np.pi / 2, 6)
_CAP = np.stack([np.cos(_HALF), np.sin(_HALF)], axis=1)

Shape = tuple[tuple[int, int, int], np.ndarray]


def ellipse(colour, x, y, rx, ry, turn=0.0) -> Shape:
    """An ellipse around (x, y) with radii rx, ry, turned by `turn` radians."""
    c, s = np.cos(turn), np.sin(turn)
    return colour, (_CIRCLE * (rx, ry)) @ np.array([[c, s], [-s, c]]) + (x, y)


def limb(colour, x, y, angle, length, width) -> Shape:
    """A limb with rounded ends from (x, y); angle in radians: 0 hangs down, pi/2 points right, pi points up."""
    along = np.array([np.sin(angle), np.cos(angle)])
    across = np.array([along[1], -along[0]])
    end = _CAP @ np.stack([along, across]) * width / 2
    return colour, np.concatenate([end + (x, y) + along * length, -end + (x, y)])


def polygon(colour, *points) -> Shape:
    """A polygon through `points`, each (x, y)."""
    return colour, np.asarray(points, dtype=float)


def place_shapes(shapes: list[Shape], centre, size, turn=0.0, face=1, stretch=1.0) -> list[Shape]:
    """Map shapes from the subject's square to canvas pixels: mirror if face is -1, stretch along y, turn, move."""
    c, s = np.cos(turn) * size, np.sin(turn) * size
    matrix = np.array([[face * c, face * s], [-s * stretch, c * stretch]])
    return [(colour, points @ matrix + centre) for colour, points in shapes]


def paint(image: np.ndarray, shapes: list[Shape]) -> None:
    """Paint the shapes on `image` (uint8 [h w 3]), in order."""
    for colour, points in shapes:
        cv2.fillPoly(image, [_fixed_point(points)], colour, cv2.LINE_AA, SUBPIXEL)


def paint_outlined(image: np.ndarray, shapes: list[Shape], width: int = 5) -> np.ndarray:
    """Paint the shapes with one ink outline around them all. Returns their mask uint8 [h w], outline included."""
    mask = np.zeros(image.shape[:2], np.uint8)
    fixed = [_fixed_point(points) for _, points in shapes]
    for points in fixed:
        cv2.fillPoly(mask, [points], 255, cv2.LINE_8, SUBPIXEL)
        cv2.polylines(image, [points], True, INK, width, cv2.LINE_AA, SUBPIXEL)
    for (colour, _), points in zip(shapes, fixed, strict=True):
        cv2.fillPoly(image, [points], colour, cv2.LINE_AA, SUBPIXEL)
    return mask


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << SUBPIXEL)).astype(np.int32)
