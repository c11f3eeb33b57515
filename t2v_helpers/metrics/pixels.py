"""Measures of pixels alone, with OpenCV: nothing here is learned."""

from functools import cache
from itertools import combinations, pairwise

import cv2
import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.core import checking
from t2v_helpers.core.video import LUMA
from t2v_helpers.metrics.estimates import as_numbers

SMALLEST = 16  # pixels: the least height and width for optical flow


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 arrays of one shape, in dB: 10 log10(255^2 / MSE); equal arrays: inf.

    Higher is closer. Blind to meaning: a shift by one pixel costs more than a small wrong object.
    ValueError: other arrays, different shapes, empty arrays.
    """
    for name, x in (("a", a), ("b", b)):
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or not x.size:
            given = f"{x.dtype} {list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__
            raise ValueError(f"{name} is {given}: use a non-empty uint8 array, as layout.to_uint8 makes it.")
    if a.shape != b.shape:
        raise ValueError(f"the arrays are {a.shape} and {b.shape}: use two of one shape.")
    mse = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
    return float("inf") if mse == 0 else 10 * float(np.log10(255**2 / mse))


def grey_levels(a: np.ndarray, b: np.ndarray) -> float:
    """The mean |difference| of two videos uint8 [f h w c] of one shape, in grey levels of 255. ValueError: shapes."""
    if a.shape != b.shape:
        raise ValueError(f"the videos are {a.shape} and {b.shape}: use two of one shape.")
    return float(np.abs(a.astype(int) - b).mean())


def sharpness(frames: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Variance of the Laplacian of the grey levels (0..255), the mean over frames; higher is sharper.

    frames uint8 [f h w c]; mask bool or uint8 [f h w]: only where it is set (None: everywhere; frames with an empty
    mask do not count). Pech-Pacheco et al. (2000), "Diatom autofocusing in brightfield microscopy", ICPR.
    0 or more, in squared grey levels. Blind to content: noise counts as sharp.
    ValueError: an empty mask, or one of another shape.
    """
    frames = checking.frames(frames)
    mask = np.ones(frames.shape[:3], bool) if mask is None else as_numbers("mask", mask) > 0
    if mask.shape != frames.shape[:3] or not mask.any():
        raise ValueError(f"the mask is {mask.shape} with {mask.sum()} pixels set; use {frames.shape[:3]}, some set.")
    edges = [cv2.Laplacian(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32), cv2.CV_32F) for f in frames]
    return float(np.mean([e[m].var() for e, m in zip(edges, mask, strict=True) if m.any()]))


def variety(videos: np.ndarray) -> float:
    """How unlike videos of one sentence are: the root mean square difference of two of them, the mean over all pairs.

    videos uint8 [n f h w 3]; in grey levels, 0 to 255. 0: all are the same. Blind to meaning: noise counts as variety.
    ValueError: fewer than two videos, or not uint8.
    """
    if not isinstance(videos, np.ndarray) or videos.dtype != np.uint8 or videos.ndim != 5 or len(videos) < 2:
        given = f"{videos.dtype} {list(videos.shape)}" if isinstance(videos, np.ndarray) else type(videos).__name__
        raise ValueError(f"videos are {given}: use uint8 [n f h w 3] with n at least 2, as np.stack makes it.")
    pairs = combinations(videos.astype(np.float32), 2)
    return float(np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs]))


def flicker(frames: np.ndarray) -> float:
    """How much a pixel of the still part of a clip uint8 [f h w c] changes from frame to frame, 0 to 1.

    It is the mean absolute change at the 25 % quantile of all pixels: at least that much of a clip stands still,
    whatever walks through it. After VBench's temporal flickering (Huang et al. 2023, arXiv 2311.17982), which uses the
    whole image of a static scene. Lower is better. Blind to the prompt, and to flicker of less than three quarters of
    the image; a frozen video scores best. ValueError: frames, fewer than two of them.
    """
    frames = checking.frames(frames, least=2)
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(0, 3))  # [h w]
    return float(np.quantile(change, 0.25)) / 255


@cache
def usual_region(subject: str, action: str, frames: int = 16) -> np.ndarray:
    """Where more than half of 12 renders of this subject and action show the subject: bool [f 64 64].

    A generated video has no mask: this region replaces it, and a fair comparison uses it for renders as well.
    ValueError: labels, frames.
    """
    masks = [cartoon.render(cartoon.Labels(subject, action), seed, frames)[1] > 127 for seed in range(12)]
    return np.mean(masks, axis=0) > 0.5


def sharpness_ratio(video: np.ndarray, item: cartoon.Item) -> float:
    """Sharpness of a video uint8 [f 64 64 3] over that of the drawing `item`, in the subject's usual region.

    1 is as sharp as drawn. Blind to content: noise counts as sharp. ValueError: other frames.
    """
    region = usual_region(item.labels.subject, item.labels.action, len(video))
    return max(sharpness(video, region), 1e-6) / sharpness(item.frames, region)


def warped_error(frames: np.ndarray) -> float:
    """How much a video uint8 [f h w 3] changes beyond its motion, 0 to 1: the mean squared error of each frame and the
    next one warped back along the optical flow. 0 for a still video, and for pure motion.

    Pixels that are occluded in one of the two are left out. Lai et al. 2018, "Learning Blind Video Temporal
    Consistency", arXiv 1808.00449, section 4.2; occlusion: Ruder et al. 2016, arXiv 1604.08610, section 4.2. The flow
    is OpenCV's DIS. Blind to a frozen video, and to a wrong object that moves smoothly. ValueError: frames, fewer than
    two of them, or smaller than SMALLEST pixels.
    """
    frames = checking.frames(frames, least=2)
    errors = [_warped_pair(now, later) for now, later in pairwise(frames)]
    return float(np.mean(errors))


def _warped_pair(now: np.ndarray, later: np.ndarray) -> float:
    """The error of two frames uint8 [h w 3], over the pixels that are visible in both."""
    there, back = flow(now, later), flow(later, now)  # [h w 2]
    returned = _warp(back, there)  # [h w 2]
    lengths = (there**2).sum(axis=-1) + (returned**2).sum(axis=-1)
    seen = ((there + returned) ** 2).sum(axis=-1) <= 0.01 * lengths + 0.5  # [h w]: Ruder et al. 2016, equation 5
    if not seen.any():
        return 1.0
    change = now.astype(np.float32) / 255 - _warp(later.astype(np.float32) / 255, there)  # [h w 3]
    return float((change[seen] ** 2).mean())


def flow(now: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Where each pixel of `now` goes in `later`, both uint8 [h w 3]: float32 [h w 2], pixels right and down.

    Dense inverse search, Kroeger et al. 2016, arXiv 1603.03590. OpenCV's implementation aborts the process for frames
    below SMALLEST pixels. ValueError: such frames, not uint8, or different sizes.
    """
    (now,), (later,) = checking.frames([now]), checking.frames([later])
    if now.shape != later.shape or min(now.shape[:2]) < SMALLEST:
        sizes = f"{now.shape[0]}x{now.shape[1]} and {later.shape[0]}x{later.shape[1]}"
        raise ValueError(f"frames are {sizes} pixels: use one size, {SMALLEST} at least (video.enlarge).")
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (now, later)]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return search.calc(*grey, None)


def _warp(picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """The image float32 [h w c] sampled where motion [h w 2] leads."""
    h, w = motion.shape[:2]
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    return cv2.remap(picture, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def symptoms(frames: np.ndarray) -> dict[str, float]:
    """Gauge -> number, of a video uint8 [f h w 3], read off its pixels alone; all are finite, for a black video too.

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
