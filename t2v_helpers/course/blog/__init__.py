"""The ledger of the blog: a row for each of its videos and each of its claims, and what became of them here.

    rows = [blog.video_row("as published", made) for made in blog.as_published(pipe)]
    blog.write(rows, "outputs/ledger")

The blog (Jia 2024, "Transforming Words into Motion") makes six videos with one random generator that is seeded once.
So the k-th video starts from the k-th draw. `as_published` goes the same way. `controlled` gives every video draw 1.

A verdict is one of VERDICTS, and `why` says what was measured. What was not measured is "not run here", with the
reason. Frames are uint8 [f h w c].
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from textwrap import wrap
from types import MappingProxyType

import numpy as np
import torch

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import checking, files, video
from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.course.blog import watermark
from t2v_helpers.course.blog.blog import CLAIMS, DOG, MONKEY, ROBOT, RUNS, SETUP, Claim, Run, claim
from t2v_helpers.course.blog.page import page
from t2v_helpers.course.blog.rows import (
    ANOTHER,
    FAILS,
    HOLDS,
    KINDS,
    MEASURED,
    NO_CLIP,
    NO_FILES,
    NOT_RUN,
    OTHER_WORDS,
    PARTLY,
    SAME_BITS,
    SAME_PICTURE,
    SAME_ROUNDING,
    SAME_WORDS,
    VERDICTS,
    Row,
    counts,
)
from t2v_helpers.diffusion import schedulers
from t2v_helpers.model import denoising, generate, validation
from t2v_helpers.model.generate import Generation

__all__ = [
    "ANOTHER", "CLAIMS", "COMPRESSED", "DOG", "FAILS", "FETCH_SECONDS", "HOLDS", "HOW", "KINDS", "MARKED", "MEASURED",
    "MONKEY", "NOT_RUN", "NO_CLIP", "NO_FILES", "OTHER_WORDS", "PARTLY", "ROBOT", "ROUNDING", "RUNS", "SAME_BITS",
    "SAME_PICTURE", "SAME_ROUNDING", "SAME_WORDS", "SEED", "SETUP", "VARIABLE", "VERDICTS", "WHERE", "Claim", "Made",
    "Row", "Run", "as_published", "band_text", "check_folder", "claim", "claim_row", "compare", "controlled", "counts",
    "fetch", "file_rows", "given_folder", "grey_levels", "in_words", "make", "marks", "page", "read", "readable",
    "stream", "substitutions", "text", "video_row", "write",
]  # fmt: skip

SEED = 1234
WHERE = "https://github.com/ROCm/rocm-blogs/raw/release/blogs/artificial-intelligence/text-to-video-generation/videos"
VARIABLE = "T2V_BLOG_VIDEOS"
HOW = f"set {VARIABLE} to a folder with the blog's mp4 files, or to the word fetch, which downloads them"
FETCH_SECONDS = 60

ROUNDING = 2  # grey levels of 255: what another order of adding the same floats may change
COMPRESSED = 30.0  # dB: MPEG-4 keeps a video at 30 to 40, and another video is below 20
MARKED = 6.0  # a band this many times above the usual is a mark: the blog's five have 8 to 24, its sixth has 4


# --- making the videos


@dataclass(frozen=True)
class Made:
    """A video made for a run, and the draw of the generator that it started from (from 1)."""

    run: Run
    draw: int
    generation: Generation

    @property
    def frames(self) -> np.ndarray:
        """uint8 [f h w c]."""
        return self.generation.frames

    @property
    def record(self) -> GenerationRecord:
        """What was asked and found. Its seed is the generator's: the noise is that of `draw`."""
        return self.generation.record

    @property
    def calls_per_second(self) -> float:
        """Calls of the UNet a second, decoding included: lower than what a progress bar shows for the loop alone."""
        return schedulers.unet_calls(self.run.scheduler, self.run.steps) / self.record.seconds


def stream(pipe, seed: int = SEED) -> torch.Generator:
    """The blog's generator: on the pipeline's device, seeded once."""
    return torch.Generator(pipe.execution_device).manual_seed(seed)


def as_published(pipe, runs: Sequence[Run] = RUNS) -> Iterator[Made]:
    """Each run with one generator that goes on: the k-th video starts from the k-th draw. Errors: see `make`."""
    generator = stream(pipe)
    for draw, run in enumerate(runs, start=1):
        yield make(pipe, run, generator, draw)


def controlled(pipe, runs: Sequence[Run] = RUNS) -> Iterator[Made]:
    """Each run with a fresh generator of the same seed: every video starts from draw 1. Errors: see `make`."""
    for run in runs:
        yield make(pipe, run, stream(pipe), 1)


def make(pipe, run: Run, generator: torch.Generator, draw: int) -> Made:
    """What the blog's call `pipe(prompt, generator=...)` gives, in the run's scheduler, the model's guidance and size.

    draw is the place in the generator's stream where `generator` stands. Errors: those of `validation.check`.
    """
    spec = validation.check(pipe, GenerationSpec(run.prompt, "", SEED, run.scheduler, run.steps, frames=run.frames))
    shape, device = (1, *denoising.latent_shape(pipe, spec)), pipe.execution_device
    latents = torch.randn(shape, generator=generator, device=device, dtype=pipe.unet.dtype)  # [1 c f h w]
    return Made(run, draw, generate.generate(pipe, spec, latents=latents))


# --- comparing


def compare(ours: np.ndarray, theirs: np.ndarray, compressed: bool = False) -> tuple[str, str]:
    """(verdict, why) for two videos uint8 [f h w c].

    compressed: one of them went through a lossy file, so that equal pixels cannot be expected. ValueError: no videos.
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


def grey_levels(a: np.ndarray, b: np.ndarray) -> float:
    """The mean |difference| of two videos uint8 [f h w c] of one shape, in grey levels of 255. ValueError: shapes."""
    if a.shape != b.shape:
        raise ValueError(f"the videos are {_size(a)} and {_size(b)}, but must have one shape.")
    return float(np.abs(a.astype(int) - b).mean())


def in_words(made: Made) -> tuple[str, str]:
    """(verdict, why): whether the judge reads what the prompt asks, for a video of the cartoon world."""
    asked = cartoon.parse(made.record.spec.prompt)
    (seen,) = metrics.read(made.frames[None])  # from [1 f h w c]
    wrong = [label for label in metrics.LABELS if getattr(seen, label) != getattr(asked, label)]
    if not wrong:
        return SAME_WORDS, f"the judge reads all that was asked: {', '.join(astuple(seen))}"
    told = (f"{label} {getattr(asked, label)} asked, {getattr(seen, label)} read" for label in wrong)
    return OTHER_WORDS, f"the judge reads otherwise: {'; '.join(told)}"


def substitutions(record: GenerationRecord) -> str:
    """What stands in for the blog's own setup: "model cartoon, not modelscope; ..."; "" where nothing does."""
    here = {
        "model": record.model,
        "pixels": f"{record.spec.height}x{record.spec.width}",
        "guidance": f"{record.spec.guidance:g}",
        "dtype": record.dtype,
        "device": "a CPU" if record.device == "cpu" else SETUP["device"],
        "torch": record.versions.get("torch", "unknown"),
    }
    return "; ".join(f"{name} {value}, not {SETUP[name]}" for name, value in here.items() if value != SETUP[name])


# --- the blog's own files


def given_folder(value: str | None, fetched: str | Path) -> Path | None:
    """The folder that the environment variable's `value` names; None where it is not set.

    "fetch" downloads the files into `fetched`. Errors: FileNotFoundError, NotADirectoryError; those of `fetch`.
    """
    if not value or not value.strip():
        return None
    return fetch(fetched) if value.strip() == "fetch" else check_folder(value)


def check_folder(folder: str | Path) -> Path:
    """Give the folder back. Errors: FileNotFoundError (not there, or a file is missing), NotADirectoryError."""
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist: {HOW}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: {HOW}.")
    missing = [run.file for run in RUNS if not (folder / run.file).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}: the blog's files are at {WHERE}.")
    return folder


def fetch(folder: str | Path, where: str = WHERE) -> Path:
    """Download the blog's six files into `folder`; those that are there already are kept.

    Errors: ConnectionError; ValueError (what came is not a video); those of `files.write_whole`.
    """
    for run in RUNS:
        if not (target := Path(folder) / run.file).exists():
            files.write_whole(target, lambda path, name=run.file: _download(f"{where}/{name}", path))
    return Path(folder)


def _download(url: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:
            path.write_bytes(answer.read())
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(f"{url} did not come ({reason}): fetch it by hand and name its folder.") from error
    video.facts(path)


def marks(clips: dict[str, np.ndarray], prompts: dict[str, str]) -> dict[str, watermark.Band]:
    """For each clip, the still band that it shares with the clips of *other* prompts: a scene is not shared, a mark is.

    ValueError: a clip has no prompt, or no such other.
    """
    missing = [name for name in clips if not isinstance(prompts, Mapping) or name not in prompts]
    if missing:
        raise ValueError(f"prompts lacks {', '.join(map(str, missing))}: give the prompt of each clip.")
    others = {name: [clip for other, clip in clips.items() if prompts[other] != prompts[name]] for name in clips}
    return {name: watermark.shared_band(clip, others[name]) for name, clip in clips.items()}


# --- rows


def claim_row(name: str, verdict: str, why: str, **facts) -> Row:
    """The row of the claim of that name; facts are further fields of a Row. ValueError: see `claim` and `Row`."""
    return Row("claim", f"{name}: {claim(name).words}", verdict, why, **facts)


def video_row(kind: str, made: Made, theirs: np.ndarray | None = None, name: str | None = None) -> Row:
    """The row of a video that was made; theirs: the frames of the blog's file, if given; name: its mp4 here.

    The cartoon model cannot give the blog's pixels, so there the judge says whether the words came true.
    """
    record, run = made.record, made.run
    if readable(made.frames):
        verdict, why = in_words(made)
    elif theirs is not None:
        verdict, why = compare(made.frames, theirs, compressed=True)
    else:
        verdict, why = NO_FILES, f"made, but there is nothing to hold it against: {HOW}"
    stands_in = substitutions(record)
    why = f"{why}. In place of the blog's: {stands_in}." if stands_in else f"{why}."
    asked = {"prompt": run.prompt, "scheduler": run.scheduler, "steps": run.steps, "frames": len(made.frames)}
    found = {"model": record.model, "dtype": record.dtype, "device": record.device, "versions": record.versions}
    hashed = {"seconds": record.seconds, "sha256": record.frames_sha256}
    return Row(kind, run.file, verdict, why, draw=made.draw, fps=run.fps, video=name, **asked, **found, **hashed)


def readable(frames: np.ndarray) -> bool:
    """Whether the judge can read a video: it knows the cartoon world's size alone."""
    return frames.shape[1:3] == (cartoon.SIZE, cartoon.SIZE)


def file_rows(folder: Path | None, ours: Mapping[str, Path] = MappingProxyType({})) -> list[Row]:
    """A row for each of the blog's files: codec, size, frames, fps, and the watermark band.

    folder None: the rows say so, and how to give them. ours: the blog's file name -> the mp4 that was made here, to be
    told beside it. Errors: those of `video.read_mp4`.
    """
    if folder is None:
        return [Row("the blog's file", run.file, NO_FILES, f"To compare, {HOW}.") for run in RUNS]
    clips = {run.file: video.read_mp4(folder / run.file) for run in RUNS}
    bands = marks(clips, {run.file: run.prompt for run in RUNS})
    return [_file_row(run, folder / run.file, bands[run.file], ours.get(run.file)) for run in RUNS]


def _file_row(run: Run, path: Path, band: watermark.Band, ours: Path | None) -> Row:
    found, digest = video.facts(path), files.sha256(path)
    own = "the very file of the blog" if digest == run.sha256 else "another file than the blog's of April 2024"
    beside = f"; here: {video.facts(ours)}" if ours else ""
    why = f"{own}; {found}; {band_text(band)}{beside}."
    asked = {"prompt": run.prompt, "scheduler": run.scheduler, "frames": found.frames, "fps": found.fps}
    return Row("the blog's file", run.file, MEASURED, why, sha256=digest, **asked)


def band_text(band: watermark.Band) -> str:
    """What a band means, in words: a mark or none, where, and how far it stands out."""
    word = "a mark" if band.strength >= MARKED else "no mark"
    return f"{word} (strongest in rows {band.top} to {band.bottom}, {band.strength:.1f} times the usual)"


# --- writing and reading


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


def read(path: str | Path) -> list[Row]:
    """The rows of a ledger.json. Errors: FileNotFoundError; ValueError (no ledger)."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: `blog.write` makes it.")
    try:
        return [Row(**values) for values in json.loads(path.read_text(encoding="utf-8"))["rows"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no ledger ({error}): write it again.") from error


def text(rows: Sequence[Row], width: int = 96) -> str:
    """The rows in plain lines: kind, subject and verdict, and below them the reason."""
    lines = []
    for row in rows:
        subject = row.subject if len(row.subject) <= 50 else f"{row.subject[:49]}…"
        lines += [f"{row.kind:16} {subject:50} {row.verdict}", *(f"    {part}" for part in wrap(row.why, width))]
    return "\n".join(lines)


def _size(frames: np.ndarray) -> str:
    f, h, w = frames.shape[:3]
    return f"{f} frames of {h}x{w}"
