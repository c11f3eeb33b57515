"""Measures of a video: what the judge reads off it, what OpenCV sees in it, and how sure a share is.

Videos are uint8, [f h w c] one or [b f h w c] several. In the cartoon world the labels of every sentence are known,
so "does the video show what was asked?" is counted, not argued about. The judge's own accuracy on fresh renders
stands beside every count. OpenCV gives a second opinion that has learned nothing.
"""

from t2v_helpers.metrics.intervals import Share, wilson
from t2v_helpers.metrics.judged import (
    ALL_FOUR,
    DISTURBANCES,
    LABELS,
    Adherence,
    adherence,
    disturbed,
    judge_about,
    judge_accuracy,
    load_judge,
    read,
    shuffled,
)
from t2v_helpers.metrics.pixels import (
    SLOWEST,
    Motion,
    direction,
    dominant_colours,
    flicker,
    psnr,
    sharpness,
    usual_region,
)

__all__ = [
    "ALL_FOUR", "DISTURBANCES", "LABELS", "SLOWEST", "Adherence", "Motion", "Share", "adherence", "direction",
    "disturbed", "dominant_colours", "flicker", "judge_about", "judge_accuracy", "load_judge", "psnr", "read",
    "sharpness", "shuffled", "usual_region", "wilson",
]  # fmt: skip
