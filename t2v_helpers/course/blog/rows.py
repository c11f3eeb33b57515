"""The rows of a ledger: what may stand in them, and how many there are of each verdict."""

from collections.abc import Iterable
from dataclasses import dataclass

SAME_BITS, SAME_ROUNDING, SAME_PICTURE = "same bits", "same within rounding", "same picture"
SAME_WORDS, OTHER_WORDS, ANOTHER = "same in words", "other words", "another video"
HOLDS, PARTLY, FAILS = "holds", "holds in part", "does not hold"
NOT_RUN, NO_FILES, NO_CLIP, MEASURED = "not run here", "no files given", "no CLIP at hand", "measured"
VERDICTS = (SAME_BITS, SAME_ROUNDING, SAME_PICTURE, SAME_WORDS, OTHER_WORDS, ANOTHER, HOLDS, PARTLY, FAILS, MEASURED,
            NOT_RUN, NO_FILES, NO_CLIP)  # fmt: skip
KINDS = ("as published", "controlled", "claim", "the blog's file", "similarity")


@dataclass(frozen=True)
class Row:
    """One line of the ledger. ValueError: a kind or a verdict that is none, or no reason.

    subject is a file's name or a claim's words; draw is the position in the generator's stream; sha256 is that of the
    frames (records.frames_hash), or of the blog's file; video is the name of an mp4 beside the ledger.
    """

    kind: str
    subject: str
    verdict: str
    why: str
    prompt: str | None = None
    scheduler: str | None = None
    draw: int | None = None
    steps: int | None = None
    frames: int | None = None
    fps: float | None = None
    model: str | None = None
    dtype: str | None = None
    device: str | None = None
    seconds: float | None = None
    sha256: str | None = None
    video: str | None = None
    versions: dict | None = None

    def __post_init__(self):
        for name, value, allowed in (("kind", self.kind, KINDS), ("verdict", self.verdict, VERDICTS)):
            if value not in allowed:
                raise ValueError(f"{name}={value!r} is unknown: use one of {', '.join(allowed)}.")
        if not self.subject.strip() or not self.why.strip():
            raise ValueError("subject and why must say something: a verdict without a reason is worth nothing.")


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows have each verdict, in the order of VERDICTS; those that none has are left out."""
    found = [row.verdict for row in rows]
    return {verdict: found.count(verdict) for verdict in VERDICTS if verdict in found}
