"""How good is a video?

Measures of a video: what the judge reads in it, what OpenCV sees in it, and how certain a number is.

Videos are uint8: [f h w c] for one, [b f h w c] for several. In the cartoon world the labels of every sentence are
known, so "does the video show what was asked?" can be counted. The judge's own accuracy on fresh renders is given with
every count. OpenCV gives a second opinion that involves no learning. A new metric is one new file here.

Imports: core to model.
Start reading: label_adherence.py.
"""

from t2v_helpers.metrics.clip_scores import CARTOON, Clip, clip_similarity, frame_similarity, load_clip
from t2v_helpers.metrics.estimates import Measure, Share, bootstrap, wilson
from t2v_helpers.metrics.frechet import FEATURES, features, frechet_distance
from t2v_helpers.metrics.gap import Gap, drawings, frechet_to_drawings
from t2v_helpers.metrics.label_adherence import (
    ALL_FOUR,
    DISTURBANCES,
    LABELS,
    Adherence,
    adherence,
    check_videos,
    digits,
    digits_share,
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
    "ALL_FOUR", "CARTOON", "DISTURBANCES", "FEATURES", "LABELS", "SLOWEST", "SPECK", "Adherence", "Clip", "Gap",
    "Measure", "Motion", "Share", "Wholeness", "adherence", "bootstrap", "check_videos", "clip_similarity", "digits",
    "digits_share", "direction", "disturbed", "dominant_colours", "drawings", "features", "flicker", "flow",
    "frame_similarity", "frechet_distance", "frechet_to_drawings", "judge_about", "judge_accuracy", "judge_share",
    "largest_piece", "load_clip", "load_judge", "load_segmenter", "marked", "pieces", "psnr", "read", "sharpness",
    "sharpness_ratio", "shuffled", "usual_region", "usual_size", "warped_error", "wholeness", "wholeness_of_drawings",
    "wilson",
]  # fmt: skip
