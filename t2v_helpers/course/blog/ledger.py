"""The ledger: a row for each video and each claim, with its verdict and the reason for it, as JSON and as a page."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import wrap
from types import MappingProxyType

import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.core import files, video
from t2v_helpers.core.checking import one_of
from t2v_helpers.course.blog.originals import HOW, ReadOff, read_off, stored
from t2v_helpers.course.blog.published import CLAIMS, RUNS
from t2v_helpers.course.blog.verdicts import MEASURED, NO_FILES, VERDICTS, compare, in_words, substitutions
from t2v_helpers.course.blog.videos import Made
from t2v_helpers.course.rendering import render

KINDS = ("as published", "controlled", "claim", "the blog's file", "similarity")


@dataclass(frozen=True)
class Row:
    """One line of the ledger. ValueError: an unknown kind or verdict, or no reason.

    subject: a file's name or a claim's words. draw: the position in the generator's stream. sha256: of the frames
    (records.frames_hash) or of the blog's file. video: the name of an mp4 in the ledger's folder.
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
        one_of("kind", self.kind, KINDS)
        one_of("verdict", self.verdict, VERDICTS)
        if not self.subject.strip() or not self.why.strip():
            raise ValueError("subject and why must say something: a verdict without a reason is worth nothing.")


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows have each verdict, in the order of VERDICTS; verdicts without rows are left out."""
    found = [row.verdict for row in rows]
    return {verdict: found.count(verdict) for verdict in VERDICTS if verdict in found}


def claim_row(name: str, verdict: str, why: str, **facts) -> Row:
    """The row of the claim of that name; facts: further fields of the Row. ValueError: no such claim; see `Row`."""
    words = {claim.name: claim.words for claim in CLAIMS}
    return Row("claim", f"{name}: {words[one_of('name', name, words)]}", verdict, why, **facts)


def video_row(kind: str, made: Made, theirs: np.ndarray | None = None, name: str | None = None) -> Row:
    """The row of a video that was made. theirs: the frames of the blog's file, if given. name: our mp4.

    The cartoon model cannot reproduce the blog's pixels; there the judge says whether the video shows the words.
    """
    record, run = made.record, made.run
    if made.frames.shape[1:3] == (cartoon.SIZE, cartoon.SIZE):  # the only size that the judge can read
        verdict, why = in_words(made)
    elif theirs is not None:
        verdict, why = compare(made.frames, theirs, compressed=True)
    else:
        verdict, why = NO_FILES, f"made, but there is nothing to hold it against: {HOW}"
    stands_in = substitutions(record)
    why = f"{why}. In place of the blog's: {stands_in}." if stands_in else f"{why}."
    asked = run.prompt, run.scheduler, made.draw, run.steps, len(made.frames), run.fps
    found = record.model, record.dtype, record.device, record.seconds, record.frames_sha256
    return Row(kind, run.file, verdict, why, *asked, *found, name, record.versions)


def file_rows(folder: Path | None, ours: Mapping[str, Path] = MappingProxyType({})) -> list[Row]:
    """A row for each of the blog's files: codec, size, frames, fps, and the watermark band.

    folder None: what was read off them before, which is stored with the course. ours: the blog's file name -> the mp4
    that was made here, whose facts are added. Errors: those of `video.read_mp4`.
    """
    known, rows = stored(), []
    read = read_off(folder) if folder else known
    for run in RUNS:
        found, digest = read[run.file], files.sha256(folder / run.file) if folder else run.sha256
        why = _file_text(found, known[run.file], digest == run.sha256)
        beside = f"; here: {video.facts(ours[run.file])}" if run.file in ours else ""
        asked = {"prompt": run.prompt, "scheduler": run.scheduler, "frames": found.facts.frames, "fps": found.facts.fps}
        rows.append(Row("the blog's file", run.file, MEASURED, f"{why}{beside}.", sha256=digest, **asked))
    return rows


def _file_text(found: ReadOff, known: ReadOff, same: bool) -> str:
    """What a file is, what was read off it, and whether that is what the course has stored."""
    if found is known:
        return f"stored: {found}; it shows {known.shows}"
    if not same:
        return f"another file than the blog's of April 2024; {found}"
    before = "" if str(found) == str(known) else f"; stored before: {known}"
    return f"the very file of the blog; {found}{before}; it shows {known.shows}"


def write(rows: Iterable[Row], folder: str | Path) -> tuple[Path, Path]:
    """Write ledger.json and ledger.html into `folder`, both or none, and give their paths.

    Errors: ValueError (no rows); those of `files.write_together`.
    """
    rows, folder = list(rows), Path(folder)
    if not rows:
        raise ValueError("rows is empty: a ledger has at least one.")
    as_json, as_html = folder / "ledger.json", folder / "ledger.html"
    text = json.dumps({"rows": [asdict(row) for row in rows]}, indent=2, allow_nan=False) + "\n"
    files.write_together({as_json: text.encode(), as_html: page(rows).encode()})
    return as_json, as_html


def page(rows: Sequence[Row]) -> str:
    """The rows as one HTML page that fetches nothing: a table for each kind, in the order of KINDS."""
    versions = {f"{name} {version}": None for row in rows for name, version in (row.versions or {}).items()}
    return render(
        "ledger.html",
        summary="; ".join(f"{verdict}: {n}" for verdict, n in counts(rows).items()),
        tables={kind: [row for row in rows if row.kind == kind] for kind in KINDS},
        versions=", ".join(versions),
    )


def read(path: str | Path) -> list[Row]:
    """The rows of a ledger.json. Errors: FileNotFoundError; ValueError (not a ledger)."""
    path = files.existing(path, "`blog.write` makes it")
    try:
        return [Row(**values) for values in files.read_json(path)["rows"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{files.named(path)} is not a ledger ({files.reason(error)}): write it again.") from error


def text(rows: Sequence[Row], width: int = 96) -> str:
    """The rows as plain lines: kind, subject and verdict, and below them the reason."""
    lines = []
    for row in rows:
        subject = row.subject if len(row.subject) <= 50 else f"{row.subject[:49]}…"
        lines += [f"{row.kind:16} {subject:50} {row.verdict}", *(f"    {part}" for part in wrap(row.why, width))]
    return "\n".join(lines)
