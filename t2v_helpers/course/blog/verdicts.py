"""What may be said of a video or a claim, and how two videos are compared. Frames are uint8 [f h w c]."""

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import checking
from t2v_helpers.core.records import GenerationRecord
from t2v_helpers.course.blog.published import SETUP
from t2v_helpers.course.blog.videos import Made
from t2v_helpers.metrics import grey_levels

SAME_BITS, SAME_ROUNDING, SAME_PICTURE = "same bits", "same within rounding", "same picture"
SAME_WORDS, OTHER_WORDS, ANOTHER = "same in words", "other words", "another video"
HOLDS, PARTLY, FAILS = "holds", "holds in part", "does not hold"
NOT_RUN, NO_FILES, NO_CLIP, MEASURED = "not run here", "no files given", "no CLIP at hand", "measured"
VERDICTS = (SAME_BITS, SAME_ROUNDING, SAME_PICTURE, SAME_WORDS, OTHER_WORDS, ANOTHER, HOLDS, PARTLY, FAILS, MEASURED,
            NOT_RUN, NO_FILES, NO_CLIP)  # fmt: skip

ROUNDING = 2  # grey levels of 255: what another order of adding the same floats may change
COMPRESSED = 30.0  # dB: MPEG-4 keeps a video at 30 to 40, and another video is below 20


def compare(ours: np.ndarray, theirs: np.ndarray, compressed: bool = False) -> tuple[str, str]:
    """(verdict, why) for two videos uint8 [f h w c].

    compressed: one of them was in a lossy file, so pixels cannot be equal. ValueError: not a video.
    """
    ours, theirs = checking.frames(ours), checking.frames(theirs)
    if ours.shape != theirs.shape:
        return ANOTHER, f"{_size(ours)} here, {_size(theirs)} there: pixels cannot be compared"
    apart = np.abs(ours.astype(int) - theirs)
    why = f"pixels differ by {apart.max()} of 255 at most, {apart.mean():.1f} on average"
    if not apart.any():
        return SAME_BITS, "no pixel differs"
    if compressed:
        psnr = metrics.psnr(ours, theirs)
        return SAME_PICTURE if psnr >= COMPRESSED else ANOTHER, f"{why}; PSNR {psnr:.1f} dB"
    return SAME_ROUNDING if apart.max() <= ROUNDING else ANOTHER, why


def causes(published: Sequence[Made], controlled: Sequence[Made]) -> dict[str, list[float]]:
    """How far apart videos are in grey levels, by what changes: a list over all runs but the first.

    "both at once": the first published video against the others; "noise alone": published against controlled, run by
    run; "scheduler alone": the first controlled video against the others. ValueError: those of `grey_levels`.
    """
    first, same, others = published[0], controlled[0], range(1, len(published))
    pairs = {
        "both at once": [(first, published[k]) for k in others],
        "noise alone": [(published[k], controlled[k]) for k in others],
        "scheduler alone": [(same, controlled[k]) for k in others],
    }
    return {cause: [grey_levels(a.frames, b.frames) for a, b in two] for cause, two in pairs.items()}


def in_words(made: Made) -> tuple[str, str]:
    """(verdict, why): whether the judge reads in a cartoon video what its prompt asks."""
    asked = cartoon.parse(made.record.spec.prompt)
    (seen,) = metrics.read(made.frames[None])  # from [1 f h w c]
    wrong = [label for label in metrics.LABELS if getattr(seen, label) != getattr(asked, label)]
    if not wrong:
        return SAME_WORDS, f"the judge reads all that was asked: {', '.join(astuple(seen))}"
    misread = (f"{label} {getattr(asked, label)} asked, {getattr(seen, label)} read" for label in wrong)
    return OTHER_WORDS, f"the judge reads otherwise: {'; '.join(misread)}"


def substitutions(record: GenerationRecord) -> str:
    """What differs from the blog's setup: "model cartoon, not modelscope; ..."; "" where nothing does."""
    here = {
        "model": record.model,
        "pixels": f"{record.spec.height}x{record.spec.width}",
        "guidance": f"{record.spec.guidance:g}",
        "dtype": record.dtype,
        "device": "a CPU" if record.device == "cpu" else SETUP["device"],
        "torch": record.versions.get("torch", "unknown"),
    }
    return "; ".join(f"{name} {value}, not {SETUP[name]}" for name, value in here.items() if value != SETUP[name])


def _size(frames: np.ndarray) -> str:
    f, h, w = frames.shape[:3]
    return f"{f} frames of {h}x{w}"
