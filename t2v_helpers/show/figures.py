"""Every picture in images/, made again by one command; manifest.json there says which command and which specs.

    t2v figures              all of them
    t2v figures world.png    this one

The shipped cartoon model makes the videos; diagrams are drawn from traces. No seed was picked by eye: seeds count
from 0, or are the blog's 1234.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from t2v_helpers import cartoon
from t2v_helpers.core import arguments, checking, files, paths, video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import tracing
from t2v_helpers.model import loading
from t2v_helpers.model.folders import manifests
from t2v_helpers.model.generate import generate
from t2v_helpers.show import diagrams

IMAGES = paths.IMAGES
COMMAND = "t2v figures"

HERO_PROMPTS = (
    "a robot is dancing in times square",
    "a cat is jumping on the moon",
    "a duck is spinning on a beach",
    "an elephant is walking left in a forest",
    "a horse is dancing in van gogh style",
    "a fish is jumping as a pencil sketch",
)
BLOG_PROMPTS = {  # the three sentences of AMD's blog, word for word, and the seed that it sets
    "monkey": "A monkey is riding a horse around a lake",
    "robot": "A Robot is dancing in the Times Square",
    "dog": "A cartoon of a dog dancing in Van Gogh style",
}


@dataclass(frozen=True)
class Figure:
    """A picture of images/: its specs (one a video), and `draw(videos, path)`, videos n times uint8 [f h w c]."""

    specs: tuple[GenerationSpec, ...]
    draw: Callable[[list[np.ndarray], Path], object]


def _hero(videos: list[np.ndarray], path: Path) -> None:
    tiles = [video.label(video.enlarge(v, 3), prompt) for v, prompt in zip(videos, HERO_PROMPTS, strict=True)]
    video.write_gif(video.grid(tiles, columns=3), path)


def _gif(videos: list[np.ndarray], path: Path) -> None:
    video.write_gif(videos[0], path, scale=4)


def _filmstrips(videos: list[np.ndarray], path: Path) -> None:
    """One row for each video: eight of its frames under its sentence."""
    rows = [video.enlarge(video.filmstrip(video.pick(v, 8)), 2) for v in videos]  # [h w c] each
    labelled = [video.label(row, prompt) for row, prompt in zip(rows, BLOG_PROMPTS.values(), strict=True)]
    video.write_png(np.concatenate(labelled), path)


def world_sheet() -> np.ndarray:
    """Drawings of the cartoon world, a row for each style and a column for each subject: uint8 [h w c]."""
    tiles = []
    for row, style in enumerate(cartoon.STYLES):
        for column, subject in enumerate(cartoon.SUBJECTS):
            action = cartoon.ACTIONS[(row + column) % 6]  # not all subjects can do the seventh, riding
            labels = cartoon.Labels(subject, action, cartoon.PLACES[(2 * row + column) % 6], style)
            tiles.append(cartoon.render(labels, seed=0, frames=4)[0][3:])  # [1 h w c]
    return video.enlarge(video.grid(tiles, columns=len(cartoon.SUBJECTS))[0], 2)


@cache
def _unet_trace(name: str) -> tracing.Trace:
    """A guided step of 20 frames, as many as the blog makes, traced without weights."""
    return tracing.trace_parts(loading.skeleton(name), frames=20)["unet"]


def _shares(path: Path) -> Path:
    traces = {"the real UNet": _unet_trace("modelscope"), "the cartoon's": _unet_trace("cartoon")}
    return diagrams.save(diagrams.bars(traces), path)


BLOG = {name: GenerationSpec(prompt, seed=1234) for name, prompt in BLOG_PROMPTS.items()}
FIGURES = {
    "hero.gif": Figure(tuple(GenerationSpec(p, seed=k) for k, p in enumerate(HERO_PROMPTS)), _hero),
    **{f"blog_{name}.gif": Figure((spec,), _gif) for name, spec in BLOG.items()},
    "blog_filmstrips.png": Figure(tuple(BLOG.values()), _filmstrips),
    "world.png": Figure((), lambda videos, path: video.write_png(world_sheet(), path)),
    "unet.png": Figure((), lambda videos, path: diagrams.save(diagrams.unet(_unet_trace("modelscope")), path)),
    "layer.png": Figure((), lambda videos, path: diagrams.save(diagrams.block(_unet_trace("modelscope")), path)),
    "shares.png": Figure((), lambda videos, path: _shares(path)),
}


def make(names: Sequence[str] = (), folder: str | Path = IMAGES, model: str | Path = "cartoon") -> list[Path]:
    """Make the named figures (none named: all) in `folder`, write each into its manifest, and give their paths.

    Errors, before anything is drawn: ValueError (a name that is not in FIGURES, a damaged manifest), OSError; those of
    loading.load, generate and files.write_whole.
    """
    for name in names:
        checking.one_of("figure", name, FIGURES)
    folder, chosen = Path(folder), {name: FIGURES[name] for name in names or FIGURES}
    entries = _entries(folder / manifests.MANIFEST)
    for name in (manifests.MANIFEST, *chosen):
        files.check_target(folder / name)
    made = _videos({spec for figure in chosen.values() for spec in figure.specs}, model)
    for name, figure in tqdm(chosen.items(), desc="drawing", unit="figure", file=sys.stderr):
        figure.draw([made[spec] for spec in figure.specs], folder / name)
        found = {"bytes": (folder / name).stat().st_size, "sha256": files.sha256(folder / name)}
        entries[name] = found | {"command": f"{COMMAND} {name}", "specs": [spec.to_dict() for spec in figure.specs]}
        listed = json.dumps({"files": dict(sorted(entries.items()))}, indent=2)
        files.write_text(folder / manifests.MANIFEST, listed + "\n")
    return [folder / name for name in chosen]


def _videos(specs: set[GenerationSpec], model: str | Path) -> dict[GenerationSpec, np.ndarray]:
    """Spec -> its video uint8 [f h w c]; one at a time, so that a video does not depend on the others."""
    if not specs:
        return {}
    pipe = loading.load(model)
    ordered = tqdm(sorted(specs, key=str), desc="generating", unit="video", file=sys.stderr)
    return {spec: generate(pipe, spec).frames for spec in ordered}


def _entries(manifest: Path) -> dict[str, dict]:
    """The entries of FIGURES in a manifest; others are dropped. ValueError: damaged."""
    if not manifest.is_file():
        return {}
    try:
        old = files.read_json(manifest)["files"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{files.named(manifest)} is not a manifest ({files.reason(error)})"
        raise ValueError(f"{what}: delete it, and make all figures again.") from error
    return {name: entry for name, entry in old if name in FIGURES}


def main(argv: Sequence[str] | None = None) -> int:
    """`t2v figures`: make the figures that are named, or all. Errors: see `make`."""
    parser = arguments.Parser(prog=COMMAND, description="Make the pictures of images/ again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(FIGURES)}")
    parser.add_argument("--folder", type=arguments.path, default=IMAGES, help="where to write them")
    options = parser.parse_args(argv)
    make(options.names, options.folder)
    return 0
