"""The blog's own video files: where they are, whether they are whole, and whether they have a watermark."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2v_helpers.core import checking, files, paths, video
from t2v_helpers.course.blog import watermark
from t2v_helpers.course.blog.published import RUNS

WHERE = "https://github.com/ROCm/rocm-blogs/raw/release/blogs/artificial-intelligence/text-to-video-generation/videos"
VARIABLE = "T2V_BLOG_VIDEOS"
HOW = f"set {VARIABLE} to a folder with the blog's mp4 files, or to the word fetch, which downloads them"
FETCH_SECONDS = 60
MARKED = 6.0  # a band this many times above the usual is a mark: the blog's five have 8 to 24, its sixth has 4


@dataclass(frozen=True)
class ReadOff:
    """What was read off one of the blog's files: its facts, the band of its mark, and what its frames show."""

    facts: video.Facts
    band: watermark.Band
    shows: str = ""

    def __str__(self) -> str:
        return f"{self.facts}; {band_text(self.band)}"


def stored() -> dict[str, ReadOff]:
    """What was read off the blog's six files (originals.json; by `read_off`, and by eye): file -> ReadOff.

    The frames are not in the repository, for they show a stock footage seller's mark.
    """
    rows = files.read_json(paths.PACKAGE / "course" / "blog" / "originals.json")
    return {
        file: ReadOff(video.Facts(**row["facts"]), watermark.Band(**row["band"]), row["shows"])
        for file, row in rows.items()
    }


def read_off(folder: Path) -> dict[str, ReadOff]:
    """The same, read anew off the six files in a folder, by numbers alone. Errors: those of `video.read_mp4`."""
    clips = {run.file: video.read_mp4(folder / run.file) for run in RUNS}
    bands = marks(clips, {run.file: run.prompt for run in RUNS})
    return {file: ReadOff(video.facts(folder / file), bands[file]) for file in clips}


def given_folder(value: str | None, fetched: str | Path) -> Path | None:
    """The folder that `value`, that of the environment variable, names, with all six files in it; None: it is not set.

    "fetch" downloads the files into `fetched`. Errors: FileNotFoundError, NotADirectoryError; those of `fetch`.
    """
    named = (value or "").strip()
    if named in ("", "fetch"):
        return fetch(fetched) if named else None
    folder = Path(value)
    where = files.named(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{where} does not exist: {HOW}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{where} is {files.what_is(folder)}: {HOW}.")
    if missing := [run.file for run in RUNS if not (folder / run.file).is_file()]:
        raise FileNotFoundError(f"{where} lacks {', '.join(missing)}: the blog's files are at {WHERE}.")
    return folder


def fetch(folder: str | Path, where: str = WHERE) -> Path:
    """Download the blog's six files into `folder`; those already there are kept.

    Errors: ConnectionError; ValueError (not a video); those of `files.write_whole`.
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
        why = getattr(error, "reason", error)
        raise ConnectionError(f"{url} could not be downloaded ({why}): fetch it by hand, name its folder.") from error
    video.facts(path)


def marks(clips: dict[str, np.ndarray], prompts: dict[str, str]) -> dict[str, watermark.Band]:
    """For each clip, the still band that it shares with the clips of *other* prompts: they share a mark, not a scene.

    ValueError: a clip without a prompt, or without such others.
    """
    missing = [name for name in clips if not isinstance(prompts, Mapping) or name not in prompts]
    if missing:
        raise ValueError(f"prompts lacks {checking.listed(*missing)}: give the prompt of each clip.")
    others = {name: [clip for other, clip in clips.items() if prompts[other] != prompts[name]] for name in clips}
    return {name: watermark.shared_band(clip, others[name]) for name, clip in clips.items()}


def band_text(band: watermark.Band) -> str:
    """A band in words: a mark or not, where, and how far it stands out."""
    word = "a mark" if band.strength >= MARKED else "no mark"
    return f"{word} (strongest in rows {band.top} to {band.bottom}, {band.strength:.1f} times the usual)"
