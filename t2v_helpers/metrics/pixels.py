"""What can be seen in the pixels of a video alone, with OpenCV: nothing here has learned anything."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from numbers import Integral

import cv2
import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.metrics.intervals import as_numbers, check_whole
from t2v_helpers.video import check_frames

SMALLEST = 16  # pixels of a frame, each way, from which on optical flow can be found
SLOWEST = 0.5  # pixels a frame; below it nothing is said to travel


@dataclass(frozen=True)
class Motion:
    """Where the moving thing goes: "left", "right" or "none", and its speed to the right in pixels a frame."""

    direction: str
    dx: float


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 arrays of one shape, in dB: 10 log10(255^2 / MSE); equal arrays: inf.

    0 or more; higher is nearer. Blind to meaning: a shift by one pixel costs more than a wrong small thing.
    ValueError: other arrays, two shapes, nothing in them.
    """
    for name, x in (("a", a), ("b", b)):
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or not x.size:
            given = f"{x.dtype} {list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__
            raise ValueError(f"{name} is {given}, but uint8 with something in it is needed: layout.to_uint8 makes it.")
    if a.shape != b.shape:
        raise ValueError(f"the arrays are {a.shape} and {b.shape}, but must have one shape.")
    mse = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
    return float("inf") if mse == 0 else 10 * float(np.log10(255**2 / mse))


def sharpness(frames: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Variance of the Laplacian of the grey levels (0..255), the mean over frames; higher is sharper.

    frames uint8 [f h w c]; mask bool or uint8 [f h w]: only where it is set (None: everywhere; a frame where it is
    nowhere set does not count). Pech-Pacheco et al. (2000), "Diatom autofocusing in brightfield microscopy", ICPR.
    0 or more, in squared grey levels. Blind to what is drawn: noise counts as sharp.
    Raises ValueError where the mask is empty or of another shape.
    """
    frames = check_frames(frames)
    mask = np.ones(frames.shape[:3], bool) if mask is None else as_numbers("mask", mask) > 0
    if mask.shape != frames.shape[:3] or not mask.any():
        raise ValueError(f"the mask is {mask.shape} with {mask.sum()} pixels set; give {frames.shape[:3]}, some set.")
    edges = [cv2.Laplacian(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32), cv2.CV_32F) for f in frames]
    return float(np.mean([e[m].var() for e, m in zip(edges, mask, strict=True) if m.any()]))


def flicker(frames: np.ndarray) -> float:
    """How much a pixel of the still part of a clip uint8 [f h w c] changes from frame to frame, 0 to 1.

    It is the mean absolute change of the pixel at the end of the calmest quarter: that much of a clip surely stands
    still, whatever walks through it. After VBench's temporal flickering (Huang et al. 2023, arXiv 2311.17982), which
    takes the whole picture of a still scene. Lower is better. Blind to the words, to the order of frames that hardly
    differ, and to flicker of less than three quarters of the picture; content with a frozen video.
    ValueError: frames, fewer than two of them.
    """
    if len(frames := check_frames(frames)) < 2:
        raise ValueError(f"the clip has {len(frames)} frame, but flicker needs 2: it is the change between frames.")
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(0, 3))  # [h w]
    return float(np.quantile(change, 0.25)) / 255


@cache
def usual_region(subject: str, action: str, frames: int = 16, renders: int = 12) -> np.ndarray:
    """Where renders of this subject and action mostly show the subject: bool [f 64 64], set in more than half of them.

    A generated video has no mask. This region stands in for it, and a fair comparison uses it on renders as well.
    ValueError: labels, numbers that are not whole.
    """
    check_whole("renders", renders, 1)
    labels = cartoon.Labels(subject, action)
    masks = [cartoon.render(labels, seed, frames)[1] > 127 for seed in range(renders)]
    return np.mean(masks, axis=0) > 0.5


def sharpness_ratio(video: np.ndarray, item: cartoon.Item) -> float:
    """Sharpness of a video uint8 [f 64 64 3] over that of the drawing `item`, in its subject's usual region.

    1 is as sharp as drawn. Blind to what is drawn: noise counts as sharp. ValueError: other frames.
    """
    region = usual_region(item.labels.subject, item.labels.action, len(video))
    return max(sharpness(video, region), 1e-6) / sharpness(item.frames, region)


def direction(frames: np.ndarray) -> Motion:
    """Where the moving thing travels in a clip uint8 [f h w c], by OpenCV alone: no network, nothing learned.

    The background is the median frame. What differs from it is weighed by how much it differs, after a blur; a line is
    fitted to the centre of this weight over time. A subject that stays in place, or a still clip, has no direction.
    Blind to motion up and down, and misled by a camera that moves. ValueError: frames, fewer than three of them.
    """
    if len(frames := check_frames(frames)) < 3:
        raise ValueError(
            f"the clip has too few frames, {len(frames)}, but 3 are needed: a line is fitted through them."
        )
    grey = np.float32([cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (5, 5), 0) for f in frames])  # [f h w]
    off = np.abs(grey - np.median(grey, axis=0))
    off[off < 12] = 0
    weight = off.sum(axis=1)  # [f w]
    times = np.flatnonzero(weight.sum(axis=1) > 0)
    if len(times) < 3:
        return Motion("none", 0.0)
    centres = weight[times] @ np.arange(weight.shape[1]) / weight[times].sum(axis=1)
    dx = float(np.polyfit(times, centres, 1)[0])
    return Motion("none" if abs(dx) < SLOWEST else "right" if dx > 0 else "left", dx)


def dominant_colours(frames: np.ndarray, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """The k colours that a clip uint8 [f h w c] is mostly made of, by cv2.kmeans: (uint8 [k 3] RGB, shares [k]).

    The largest share comes first. The start is fixed (pixels ranked by brightness), so the answer is always the same.
    Blind to where the colours are. ValueError: frames, a k out of range.
    """
    pixels = check_frames(frames)[:, ::2, ::2].reshape(-1, 3).astype(np.float32)
    if isinstance(k, bool) or not isinstance(k, Integral) or not 1 <= k <= len(pixels):
        raise ValueError(f"k is {k}, but must be between 1 and {len(pixels)}, a whole number of colours.")
    start = (np.argsort(np.argsort(pixels.sum(axis=1), kind="stable")) * k // len(pixels)).astype(np.int32)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.5)
    _, found, centres = cv2.kmeans(pixels, k, start[:, None], stop, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    shares = np.bincount(found.ravel(), minlength=k) / len(pixels)
    order = np.argsort(-shares)
    return centres[order].round().astype(np.uint8), shares[order]


def warped_error(frames: np.ndarray) -> float:
    """How much a video uint8 [f h w 3] changes beyond its motion: mean squared error, of 1, of each frame and the next
    one brought back along the optical flow, 0 to 1; 0 for a still video, and where everything only moves.

    Pixels that are hidden in one of the two are left out. Lai et al. 2018, "Learning Blind Video Temporal Consistency",
    arXiv 1808.00449, section 4.2; hidden: Ruder et al. 2016, arXiv 1604.08610, section 4.2. The flow is OpenCV's DIS.
    Blind to a frozen video, and to a wrong thing that moves smoothly. ValueError: frames, fewer than
    two of them, or smaller ones than SMALLEST pixels.
    """
    if len(frames := check_frames(frames)) < 2:
        raise ValueError(f"the clip has {len(frames)} frame, but 2 are needed: frames are compared with the next.")
    errors = [_warped_pair(now, later) for now, later in pairwise(frames)]
    return float(np.mean(errors))


def _warped_pair(now: np.ndarray, later: np.ndarray) -> float:
    """The error of two frames uint8 [h w 3], over the pixels that are seen in both."""
    there, back = flow(now, later), flow(later, now)  # [h w 2]
    seen = ~_hidden(there, back)  # [h w]
    if not seen.any():
        return 1.0
    change = now.astype(np.float32) / 255 - _warp(later.astype(np.float32) / 255, there)  # [h w 3]
    return float((change[seen] ** 2).mean())


def flow(now: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Where each pixel of `now` goes in `later`, both uint8 [h w 3]: float32 [h w 2], pixels right and down.

    Dense inverse search, Kroeger et al. 2016, arXiv 1603.03590, as OpenCV has it, which ends the whole program on
    smaller pictures than SMALLEST each way. ValueError: such pictures, others than uint8, or of two sizes.
    """
    (now,), (later,) = check_frames([now]), check_frames([later])
    if now.shape != later.shape or min(now.shape[:2]) < SMALLEST:
        sizes = f"{now.shape[0]}x{now.shape[1]} and {later.shape[0]}x{later.shape[1]}"
        raise ValueError(f"frames are {sizes} pixels, but the flow needs one size, {SMALLEST} at least: video.enlarge.")
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (now, later)]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return search.calc(*grey, None)


def _warp(picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """The picture float32 [h w c] as seen from where motion [h w 2] starts."""
    h, w = motion.shape[:2]
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    return cv2.remap(picture, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _hidden(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Where going there and back does not lead home, bool [h w]: Ruder et al. 2016, equation 5."""
    returned = _warp(back, there)  # [h w 2]
    lengths = (there**2).sum(axis=-1) + (returned**2).sum(axis=-1)
    return ((there + returned) ** 2).sum(axis=-1) > 0.01 * lengths + 0.5
