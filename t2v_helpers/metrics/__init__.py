"""Measures of a video: what the judge reads off it, what OpenCV sees in it, and how sure a share is.

Videos are uint8, [f h w c] one or [b f h w c] several. In the cartoon world the labels of every sentence are known,
so "does the video show what was asked?" is counted, not argued about. The judge's own accuracy on fresh renders
stands beside every count. OpenCV gives a second opinion that has learned nothing.
"""

from t2v_helpers.metrics.frechet import FEATURES, features, frechet_distance
from t2v_helpers.metrics.gap import Gap, drawings, frechet_to_drawings
from t2v_helpers.metrics.intervals import Measure, Share, bootstrap, wilson
from t2v_helpers.metrics.judged import (
    ALL_FOUR,
    DISTURBANCES,
    LABELS,
    STREAM,
    Adherence,
    adherence,
    check_videos,
    disturbed,
    judge_about,
    judge_accuracy,
    judge_share,
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
    flow,
    psnr,
    sharpness,
    sharpness_ratio,
    usual_region,
    warped_error,
)
from t2v_helpers.metrics.similarity import CARTOON, Clip, clip_similarity, frame_similarity, load_clip
from t2v_helpers.metrics.wholeness import (
    SPECK,
    Wholeness,
    largest_piece,
    load_segmenter,
    marked,
    pieces,
    usual_size,
    wholeness,
    wholeness_of_drawings,
)

__all__ = [
    "ALL_FOUR", "CARTOON", "DISTURBANCES", "FEATURES", "LABELS", "SLOWEST", "SPECK", "STREAM", "Adherence", "Clip",
    "Gap", "Measure", "Motion", "Share", "Wholeness", "adherence", "bootstrap", "check_videos", "clip_similarity",
    "direction", "disturbed", "dominant_colours", "drawings", "features", "flicker", "flow", "frame_similarity",
    "frechet_distance", "frechet_to_drawings", "judge_about", "judge_accuracy", "judge_share", "largest_piece",
    "load_clip", "load_judge", "load_segmenter", "marked", "pieces", "psnr", "read", "sharpness", "sharpness_ratio",
    "shuffled", "usual_region", "usual_size", "warped_error", "wholeness", "wholeness_of_drawings", "wilson",
]  # fmt: skip
