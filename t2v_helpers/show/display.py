"""Shows videos, pictures and curves in a notebook page.

A video plays in the page: H.264 in the HTML, without a separate file. A filmstrip follows as a picture, because some
viewers, such as GitHub's, drop videos. Both are kept small: a notebook has at most 1 MiB.

matplotlib is imported by what draws with it, so that a first video need not wait for it.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from IPython.display import display

from t2v_helpers.core import checking, video
from t2v_helpers.core.records import GenerationSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = (  # distinct for colour-blind readers: Okabe & Ito 2008, "Color Universal Design"; yellow last, on white
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442",
)  # fmt: skip
LINES = ("-", "--", "-.", ":") * 2  # distinct in print
SHOWN_PIXELS = 256  # a smaller video is enlarged to about this width in the page
STILL_PIXELS = 128  # the width of a frame in a filmstrip, about
PAGE_PIXELS = 800
STILLS = 8  # frames in a row of stills
GRID_CRF = 26  # half the bytes of video.CRF, at a size where the eye sees no difference


def show_video(clip, title: str = "", fps: float = video.FPS, scale: int | None = None) -> None:
    """Show a video that loops in the page, its caption, and a filmstrip of 8 of its frames.

    clip: uint8 [f h w 3], or a Generation, whose prompt and settings are the caption. scale: a whole number; None makes
    it about 256 pixels wide. The poster is the middle frame. ValueError: frames, scale, fps, an odd size.
    """
    _show_html(video_html(clip, title, fps, scale), _lines(title, caption(clip)))
    _show_picture(_stills(_frames(clip)), f"filmstrip: {_described(clip)}")


def show_filmstrip(clip, title: str = "", columns: int = STILLS, labels: Sequence[str] = ()) -> None:
    """Show every frame of a clip (uint8 [f h w 3] or a Generation) as a picture, `columns` in a row, and its caption.

    labels: a text for each frame. Frames are resized to about 128 pixels. ValueError: frames, columns, another number
    of labels than of frames.
    """
    frames = _still_size(_frames(clip))
    if len(labels):
        _check_count("labels", labels, "frames", frames)
        frames = np.stack([video.label(frame, text) for frame, text in zip(frames, labels, strict=True)])
    picture = video.filmstrip(frames, columns)
    if text := _lines(title, caption(clip)):
        _show_html(f"<div>{_caption_html(title, caption(clip))}</div>", text)
    _show_picture(picture, f"filmstrip: {_described(clip)}")


def show_grid(
    clips: Sequence,
    titles: Sequence[str] | None = None,
    title: str = "",
    fps: float = video.FPS,
    scale: int | None = None,
    columns: int | None = None,
    stills: int = STILLS,
) -> None:
    """Show videos of one size side by side, in step, each under its title, and a filmstrip of each.

    clips: uint8 [f h w 3] or Generations. titles: None takes the prompts of Generations. The caption lists the settings
    of all Generations. scale: None fills about 800 pixels. stills: the frames in a filmstrip, at most 8; fewer are
    larger. ValueError: see video.grid; stills; another number of titles.
    """
    checking.whole("stills", stills, 1, STILLS)
    titles = _titles(clips, titles)
    frames = _tiles([_frames(clip) for clip in clips], titles, scale, columns)
    described, shared = " | ".join(filter(None, titles)), _shared(clips, titles)
    _show_html(_figure_html(frames, title, shared, described, fps, crf=GRID_CRF), _lines(title, described, shared))
    rows = [_stills(_frames(clip), stills) for clip in clips]  # [h w c] each
    rows = [video.label(row, text) if text else row for row, text in zip(rows, titles, strict=True)]
    _show_picture(np.concatenate(rows), f"filmstrips: {described}", 256 if len(clips) <= 4 else 128)


def show_figure(figure: Figure, text: str) -> None:
    """Show a figure as a picture of 256 colours, half the usual bytes; text describes it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    _show_picture(np.asarray(canvas.buffer_rgba())[..., :3], text)


def axes(xlabel: str, ylabel: str, title: str = "", size: tuple[float, float] = (6.4, 3.6)) -> tuple[Figure, Axes]:
    """A figure and its axes, with labels (including units), a light grid, and lines that differ in colour and stroke.

    size: in inches. ValueError: an empty label.
    """
    from matplotlib import pyplot as plt

    for name, label in (("xlabel", xlabel), ("ylabel", ylabel)):
        if not label.strip():
            raise ValueError(f"{name} is empty: name what the axis shows, and its unit.")
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    ax.set_prop_cycle(color=PALETTE, linestyle=LINES)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.grid(color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def matrix(ax: Axes, values: np.ndarray, rows: Sequence[str], columns: Sequence[str], vmin: float, vmax: float) -> None:
    """Draw a table of numbers as colours, from vmin (dark blue) to vmax (yellow), and print the numbers.

    ValueError: values are not [rows columns].
    """
    if np.shape(values) != (names := (len(rows), len(columns))):
        given = list(np.shape(values))
        raise ValueError(f"values are {given}, but there are names for {list(names)}: give one a row and column.")
    ax.imshow(values, cmap="cividis", aspect="auto", vmin=vmin, vmax=vmax)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    for (i, j), value in np.ndenumerate(values):
        shade = "white" if value < (vmin + vmax) / 2 else "black"
        ax.text(j, i, f"{value:.2f}".replace("-0.00", "0.00"), ha="center", va="center", fontsize=8, color=shade)


def show_maps(clip, maps: Mapping[str, np.ndarray], title: str) -> None:
    """Show the frames of a clip in a row, and each map [f h w] in a row below, on its own scale, with its mean.

    clip: uint8 [f h w 3] or a Generation. maps: name -> an array, or a tensor on the CPU; bright is high.
    ValueError: frames; a map of another number of frames.
    """
    from matplotlib import pyplot as plt

    frames = _frames(clip)
    if wrong := [name for name, one in maps.items() if np.ndim(one) != 3 or len(one) != len(frames)]:
        raise ValueError(
            f"the map of {checking.shown(wrong[0])} must be [f h w] with f = {len(frames)}, as the clip has frames."
        )
    named = {f"{name}\nmean {float(one.mean()):.2f}": np.asarray(one) for name, one in maps.items()}
    size = (len(frames), 0.9 * (len(maps) + 1))  # inches
    figure, rows = plt.subplots(len(maps) + 1, len(frames), figsize=size, layout="constrained", squeeze=False)
    for row, (name, pictures) in zip(rows, {"the video": frames, **named}.items(), strict=True):
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for ax, picture in zip(row, pictures, strict=True):
            ax.imshow(picture, cmap="cividis", vmin=pictures.min(), vmax=pictures.max())
            ax.set(xticks=[], yticks=[])
    for j, ax in enumerate(rows[-1]):
        ax.set_xlabel(f"frame {j}")
    figure.suptitle(title, fontsize=9)
    show_figure(figure, f"{title}; rows: the video, {', '.join(maps)}")
    plt.close(figure)


def caption(clip) -> str:
    """The prompt and the settings of a Generation, in two lines; "" for bare frames."""
    spec = _spec(clip)
    return _lines(spec.prompt, settings(spec)) if spec else ""


def settings(*specs: GenerationSpec) -> str:
    """The settings of videos: "dpm++, 25 steps, guidance 4, seed 0"; every value, where the specs differ."""

    def each(values) -> str:
        return ", ".join(dict.fromkeys(map(str, values)))

    guidance = each("of the model" if s.guidance is None else f"{s.guidance:g}" for s in specs)
    steps, seeds = each(s.steps for s in specs), each(s.seed for s in specs)
    return f"{each(s.scheduler for s in specs)}, {steps} steps, guidance {guidance}, seed {seeds}"


def video_html(clip, title: str = "", fps: float = video.FPS, scale: int | None = None, autoplay: bool = False) -> str:
    """The <figure> that `show_video` shows: the video as a data URI, its poster and caption. ValueError: see there."""
    frames = _frames(clip)
    frames = video.enlarge(frames, max(1, SHOWN_PIXELS // frames.shape[2]) if scale is None else scale)
    return _figure_html(frames, title, caption(clip), caption(clip) or title, fps, autoplay)


def _figure_html(frames, title: str, text: str, described: str, fps: float, autoplay=False, crf=video.CRF) -> str:
    data = b64encode(video.mp4_bytes(frames, fps, crf=crf)).decode()
    poster = b64encode(video.png_bytes(frames[len(frames) // 2], colours=256)).decode()
    height, width = frames.shape[1:3]
    spoken = escape(" ".join(described.split()))
    return (
        f'<figure style="margin: 0"><video {"autoplay " * autoplay}loop muted controls playsinline '
        f'width="{width}" height="{height}" style="max-width: 100%; height: auto" '
        f'aria-label="{spoken}" poster="data:image/png;base64,{poster}" src="data:video/mp4;base64,{data}"></video>'
        f"<figcaption>{_caption_html(title, text)}</figcaption></figure>"
    )


def _caption_html(title: str, text: str) -> str:
    bold = f"<b>{escape(title)}</b>" if title else ""
    return _lines(bold, escape(text)).replace("\n", "<br>")


def _lines(*parts: str) -> str:
    return "\n".join(filter(None, parts))


def _shared(clips: Sequence, titles: Sequence[str]) -> str:
    """For the Generations among the clips: the prompts that are not titles, and the settings of all."""
    specs = [spec for spec in map(_spec, clips) if spec]
    prompts = dict.fromkeys(spec.prompt for spec in specs if spec.prompt not in titles)
    return _lines(*prompts, settings(*specs)) if specs else ""


def _frames(clip) -> np.ndarray:
    return checking.frames(getattr(clip, "frames", clip))


def _spec(clip) -> GenerationSpec | None:
    record = getattr(clip, "record", None)
    return record.spec if record else None


def _titles(clips: Sequence, titles: Sequence[str] | None) -> list[str]:
    if titles is None:
        return [spec.prompt if spec else "" for spec in map(_spec, clips)]
    _check_count("titles", titles, "clips", clips)
    return list(titles)


def _check_count(name: str, texts: Sequence[str], others: str, things: Sequence) -> None:
    if isinstance(texts, str) or len(texts) != len(things):
        given = f"the text {checking.shown(texts)}" if isinstance(texts, str) else f"{len(texts)} texts"
        raise ValueError(f"{name} is {given}, but there are {len(things)} {others}: give a list with a text for each.")


def _tiles(videos: list[np.ndarray], titles: list[str], scale: int | None, columns: int | None) -> np.ndarray:
    """All videos in one, each enlarged and under its title: [f h w c]."""
    video.grid(videos)  # refuses what does not fit together
    if columns is None:
        columns = len(videos) if len(videos) <= 3 else math.ceil(math.sqrt(len(videos)))
    if scale is None:
        scale = max(1, min(SHOWN_PIXELS, PAGE_PIXELS // max(1, columns)) // videos[0].shape[2])
    tiles = [video.enlarge(frames, scale) for frames in videos]
    if any(titles):
        tiles = [video.label(frames, title) for frames, title in zip(tiles, titles, strict=True)]
    return video.grid(tiles, columns)


def _still_size(frames: np.ndarray, size: int = STILL_PIXELS) -> np.ndarray:
    width = frames.shape[2]
    return video.reduce(frames, math.ceil(width / size)) if width > size else video.enlarge(frames, size // width)


def _stills(frames: np.ndarray, count: int = STILLS) -> np.ndarray:
    """Up to `count` evenly spaced frames in a row, as wide as 8 of the usual size: [f h w c] -> [h w c]."""
    return video.filmstrip(_still_size(video.pick(frames, count), STILL_PIXELS * STILLS // count), count)


def _described(clip) -> str:
    return _lines(f"{len(_frames(clip))} frames", caption(clip)).replace("\n", ", ")


def _show_html(html: str, text: str) -> None:
    display({"text/html": html, "text/plain": text}, raw=True)


def _show_picture(image: np.ndarray, text: str, colours: int = 256) -> None:
    """A palette of 256 colours makes the picture less than half as big; one of 128, a quarter smaller still."""
    data = b64encode(video.png_bytes(image, colours=colours)).decode()
    display({"image/png": data, "text/plain": text}, metadata={"image/png": {"alt": text}}, raw=True)
