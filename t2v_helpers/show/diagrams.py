"""Diagrams of a text-to-video model, drawn from its traces, so that they always agree with the code.

    parts = tracing.trace_parts(loading.skeleton("modelscope"), frames=20)
    diagrams.pipeline(parts)           diagrams.unet(parts["unet"])          diagrams.block(parts["unet"])
    diagrams.bars({"1.7B": parts["unet"], "cartoon": ...})                   diagrams.folding()
    diagrams.reach({"temporal attention": changed})

Each returns a figure, which a notebook shows as the last value of a cell. A colour means one kind of layer in all of
them: blue for space, orange for time, green for text.
"""

import re
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import torch
from matplotlib import colors
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Tensor
from torch.nn import functional as F

from t2v_helpers.core import checking, files
from t2v_helpers.core.layout import fold_frames
from t2v_helpers.inside.tracing import Trace, si

COLOURS = {  # after Okabe & Ito 2008: colour-blind readers distinguish blue from orange, and shades by lightness
    "spatial conv": "#0072B2", "spatial self-attention": "#56B4E9", "spatial feed-forward": "#9CCBEE",
    "spatial projection": "#C6DFF2", "cross-attention": "#009E73", "temporal conv": "#C85200",
    "temporal attention": "#E69F00", "temporal feed-forward": "#F2C56B", "temporal projection": "#F8DFAE",
    "time embedding": "#CC79A7", "norm": "#8C8C8C", "the rest": "#CCCCCC",
}  # fmt: skip
LAYER = {  # part of a layer, in running order -> its name, and what it looks at
    "resnets": ("spatial", "convolution", "3 × 3 pixels of one frame"),
    "temp_convs": ("temporal", "convolution", "3 frames of one pixel"),
    "attentions": ("spatial", "attention", "all pixels of one frame,\nand all words"),
    "temp_attentions": ("temporal", "attention", "all frames of one pixel"),
}
CHIPS = ("spatial conv", "temporal conv", "spatial self-attention", "cross-attention", "temporal attention")
KERNELS = {"spatial conv": "3 × 3", "temporal conv": "3 × 1 × 1"}  # test_diagrams compares them with the modules
INK, LINE = "#222222", "#777777"
TEXT, SMALL = 13, 11.5  # points
DPI = 110
HATCHES = (None, "////", "....")


def pipeline(traces: Mapping[str, Trace], steps: int = 25) -> Figure:
    """From words and noise to a video: the three parts with shapes, sizes and work, and the work of a clip.

    traces: of tracing.trace_parts. ValueError: a missing part, or fewer than 1 step.
    """
    missing = [name for name in ("text_encoder", "unet", "vae") if name not in traces]
    if missing:
        raise ValueError(f"traces lack {', '.join(missing)}: give what tracing.trace_parts returns.")
    checking.whole("steps", steps)
    text, unet_, vae = (traces[name] for name in ("text_encoder", "unet", "vae"))
    latents, frame = unet_[""].input[1:], vae["decoder"].output  # [c f h w], [b c h w]
    figure, ax = _canvas(14.8, 5.9)
    _part(ax, 2.5, "text encoder", "cross-attention", text, "a prompt", f"{_times(text[''].output[1:])} [t d]")
    _part(ax, 6.1, "UNet", "spatial conv", unet_, "a guided step", f"{_times(latents)} [c f h w]")
    _part(ax, 9.7, "VAE", "the rest", vae, "a frame", f"{_times(frame[1:])} [c h w]")
    _note(ax, 1.1, 3.9, f"words:\n{text[''].input[1]} tokens [t]")
    _note(ax, 7.65, 2.15, f"noise: {_times(latents)} [c f h w]")
    _note(ax, 13.9, 3.9, f"video:\n{latents[1]} frames of\n{frame[3]} × {frame[2]}")
    for x in (1.95, 5.65, 9.25, 12.85):
        _arrow(ax, (x, 3.9), (x + 0.4, 3.9))
    _arrow(ax, (7.65, 2.35), (7.65, 2.85))
    _arrow(ax, (8.65, 4.95), (6.65, 4.95), "arc3,rad=0.3")
    _note(ax, 7.65, 5.6, f"{steps} steps, each takes out some noise")
    _clip(ax, {
        "text encoder": (2 * text.total.flops, "cross-attention"),
        f"UNet, {steps} steps": (steps * unet_.total.flops, "spatial conv"),
        f"VAE, {latents[1]} frames": (latents[1] * vae.total.flops, "the rest"),
    })  # fmt: skip
    return figure


def _part(ax: Axes, x: float, name: str, kind: str, trace: Trace, unit: str, gives: str) -> None:
    """A box of 3.1 x 2 inches: the part's name, its parameters, its work for one unit, and its output shape."""
    _box(ax, x, 2.9, 3.1, 2.0, COLOURS[kind])
    ink = _ink(COLOURS[kind])
    _note(ax, x + 1.55, 4.55, name, size=TEXT + 3, weight="bold", color=ink)
    facts = f"{_parameters(trace)}\n{si(trace.total.flops)}FLOP {unit}\ngives {gives}"
    _note(ax, x + 1.55, 3.65, facts, linespacing=1.6, color=ink)


def _clip(ax: Axes, work: dict[str, tuple[int, str]]) -> None:
    """A bar across the page: the FLOPs of a clip, by part."""
    whole, x = sum(flops for flops, _ in work.values()), 0.3
    _note(ax, x, 1.3, f"one clip: {si(whole)}FLOP", weight="bold", ha="left", va="baseline")
    places = ("left", 0.3), ("center", 7.4), ("right", 14.5)
    for (name, (flops, kind)), (place, at) in zip(work.items(), places, strict=True):
        width = 14.2 * flops / whole
        _patch(ax, x, 0.65, width, 0.5, COLOURS[kind])
        _note(ax, at, 0.25, f"{name}: {flops / whole:.1%}", ha=place, va="baseline")
        x += width


def unet(trace: Trace) -> Figure:
    """The UNet as a U: blocks with the shape of their layers and what is in each; down on the left, up on the right.

    ValueError: the trace of a model without down_blocks, mid_block and up_blocks.
    """
    downs, ups = _blocks(trace, "down_blocks"), _blocks(trace, "up_blocks")[::-1]
    names = {row.name for row in trace.rows}
    height = 1.75 * len(downs) + 4.0
    figure, ax = _canvas(14, height)
    y = height - 1.25
    _tile(ax, trace, 0.3, y, "conv_in, transformer_in", ("conv_in", "transformer_in"))
    _tile(ax, trace, 8.5, y, "conv_out", ("conv_out",))
    _note(ax, 7.0, y + 0.55, f"← latents [c f h w]\n{_times(trace[''].input[1:])}\ntheir noise →")
    for down, up in zip(downs, ups, strict=True):
        y -= 1.75
        _arrow(ax, (2.9, y + 1.75), (2.9, y + 1.1))
        _arrow(ax, (11.1, y + 1.1), (11.1, y + 1.75))
        _tile(ax, trace, 0.3, y, down)
        _tile(ax, trace, 8.5, y, up)
        _arrow(ax, (5.55, y + 0.55), (8.45, y + 0.55), style="dashed")
        _note(ax, 7.0, y + 0.85, f"{len(_layers(trace, up, 'resnets'))} skips, one of them\nfrom the row above")
        if f"{down}.downsamplers.0" in names:
            _note(ax, 3.05, y - 0.33, "↓ 2", ha="left")
        if f"{up}.upsamplers.0" in names:
            _note(ax, 11.25, y + 1.42, "↑ 2", ha="left")
    _arrow(ax, (2.9, y), (4.3, y - 0.95), "angle,angleA=-90,angleB=180,rad=0")
    _arrow(ax, (9.7, y - 0.95), (11.1, y), "angle,angleA=0,angleB=90,rad=0")
    _tile(ax, trace, 4.4, y - 1.5, "mid_block")
    _legend(ax, 0.3, 0.3)
    return figure


def _tile(ax: Axes, trace: Trace, x: float, y: float, name: str, chips: tuple[str, ...] = ()) -> None:
    """A box of 5.2 x 1.1 inches: name and shape, and below a chip for each part of each layer."""
    parts = chips or [part for layer in _sequence(trace, name) for part in layer]
    _box(ax, x, y, 5.2, 1.1, "#F4F4F4", edge=LINE)
    shape = trace[parts[0]].output  # [(b f) c h w]
    _note(ax, x + 0.15, y + 0.8, name, weight="bold", ha="left")
    _note(ax, x + 5.05, y + 0.8, f"c = {shape[1]},  {_times(shape[2:])}", ha="right")
    for i, part in enumerate(parts):
        found = {row.kind for row in trace.part(part).rows}
        kinds = [kind for kind in CHIPS if kind in found]
        for k, kind in enumerate(kinds):
            left = x + 0.15 + 0.41 * i + 0.34 * k / len(kinds)
            _patch(ax, left, y + 0.13, 0.34 / len(kinds), 0.4, COLOURS[kind])


def block(trace: Trace, name: str = "down_blocks.0", layer: int = 0) -> Figure:
    """One spatio-temporal layer of a block: its four parts in running order, and what each consists of.

    ValueError: an unknown block or layer, or one without attention.
    """
    parts = next((layer_ for i, layer_ in enumerate(_sequence(trace, name)) if i == layer), [])
    if len(parts) != len(LAYER):
        asked = f"{checking.shown(name)} has no layer {checking.shown(layer)}"
        raise ValueError(f"{asked} with all of {', '.join(LAYER)}: take another block or layer.")
    figure, ax = _canvas(14, 7.0)
    shape, whole = trace[parts[0]].output, sum(trace.part(part).total.flops for part in parts)
    title = f"layer {layer} of {name}:  c = {shape[1]},  {_times(shape[2:])}.  Each part adds to what goes in."
    _note(ax, 7.0, 6.75, title)
    for i, part in enumerate(parts):
        x = 0.3 + 3.45 * i
        if i:
            _arrow(ax, (x - 0.5, 3.75), (x - 0.03, 3.75))
        _column(ax, x, trace.part(part), part, whole)
    for x, word, kind in ((1.75, "timestep", "time embedding"), (8.65, "text", "cross-attention")):
        _note(ax, x, 6.35, word, weight="bold", color=COLOURS[kind])
        _arrow(ax, (x, 6.2), (x, 5.88), colour=COLOURS[kind])
    return figure


def _column(ax: Axes, x: float, trace: Trace, part: str, whole: int) -> None:
    """A part of a layer: title, its convolutions or attentions as bars, what it looks at, its share of FLOPs."""
    side, what, seen = LAYER[part.split(".")[-2]]
    inner = [row for row in trace.rows if re.search(r"\.(conv\d|attn\d|ff)$", row.name)]
    count = sum(not row.name.endswith("ff") for row in inner)
    _box(ax, x, 1.75, 2.9, 4.1, "#F4F4F4", edge=LINE)
    _note(ax, x + 1.45, 5.35, f"{side}\n{count} × {what}", size=TEXT + 2, weight="bold", linespacing=1.3)
    for i, row in enumerate(inner):
        words, colour = KERNELS.get(row.kind, row.kind.split()[-1]), COLOURS[row.kind]
        _box(ax, x + 0.2, 4.15 - 0.72 * i, 2.5, 0.56, colour)
        _note(ax, x + 1.45, 4.43 - 0.72 * i, f"{row.name.rsplit('.', 1)[1]}: {words}", color=_ink(colour))
    _note(ax, x + 1.45, 1.6, f"[{inner[0].axes[0]}]\n{seen}", va="top")
    _note(ax, x + 1.45, 0.25, f"{_parameters(trace)}, {trace.total.flops / whole:.0%} of FLOPs", size=SMALL)


def folding() -> Figure:
    """How a video [b c f h w] is folded for spatial layers, [(b f) c h w], and for temporal ones, [(b h w) f c].

    Two videos of 4 frames of 2 x 3 pixels with 2 channels, one behind the other. Each video has a colour, lighter in
    each frame, and pixels are numbered.
    """
    b, c, f, h, w = size = (2, 2, 4, 2, 3)
    video = torch.arange(b * c * f * h * w).reshape(size)  # a number for each element
    images = fold_frames(video)  # [(b f) c h w]
    sequences = video.permute(0, 3, 4, 2, 1).flatten(0, 2)  # [(b h w) f c]
    figure, ax = _canvas(14, 6.7)
    for i in range(b):
        _note(ax, 0.35, 4.3 - 1.7 * i, f"b = {i}")
        for j in range(f):
            _plane(ax, video[i, :, j], 0.85 + 1.2 * j, 3.95 - 1.7 * i, size)
    for j in range(f):
        _note(ax, 1.33 + 1.2 * j, 5.1, f"f = {j}")
    for n, image in enumerate(images):  # [c h w]
        _plane(ax, image, 6.6 + 1.5 * (n // f), 5.05 - 1.1 * (n % f), size)
    for n, sequence in enumerate(sequences):  # [f c]
        _plane(ax, sequence.T[:, None], 11.2, 5.4 - 0.4 * n, size)
    _titles(ax)
    return figure


def _titles(ax: Axes) -> None:
    for x, title, said in (
        (3.2, "a video  [b c f h w]", "a row is a video, a column a frame;\nthe second channel stands behind"),
        (7.9, "spatial  [(b f) c h w]", "b f images: a spatial layer\nlooks at one at a time"),
        (11.9, "temporal  [(b h w) f c]", "b h w sequences: a temporal layer\nlooks at one pixel's frames at a time"),
    ):
        _note(ax, x, 6.35, title, size=TEXT + 3, weight="bold")
        _note(ax, x, 0.45, said)


def _plane(ax: Axes, image: Tensor, x: float, y: float, size: tuple[int, ...], pixel: float = 0.32) -> None:
    """Draw [c h w] as squares, the first channel in front; x and y are the lower left corner."""
    for depth, channel in reversed(list(enumerate(image.flip(1)))):
        for i, row in enumerate(channel.tolist()):
            for j, number in enumerate(row):
                place = (x + j * pixel + 0.09 * depth, y + i * pixel + 0.09 * depth)
                paint, text = _origin(number, size)
                ax.add_patch(Rectangle(place, pixel, pixel, facecolor=paint, edgecolor="white", lw=1))
                if depth == 0:
                    _note(ax, place[0] + pixel / 2, place[1] + pixel / 2 - 0.01, text, size=10, color=_ink(paint))


def _origin(number: int, size: tuple[int, ...]) -> tuple[Tensor, str]:
    """The colour of the frame that element `number` of the video came from, and the number of its pixel."""
    b, _, f, h, w = (int(i) for i in torch.unravel_index(torch.tensor(number), size))
    tone = torch.tensor(colors.to_rgb(COLOURS[("spatial conv", "temporal conv")[b]]))
    light = 0.25 * f
    return (tone * (1 - light) + light).tolist(), str(h * size[-1] + w)


def reach(changed: Mapping[str, Tensor]) -> Figure:
    """Where the output of each kind of layer changes, bool [f h w]: a row for each kind, a box for each frame."""
    figure, rows = plt.subplots(len(changed), 1, figsize=(10, 1.1 * len(changed)), layout="constrained", squeeze=False)
    for ax, (name, at) in zip(rows[:, 0], changed.items(), strict=True):
        f, _, w = at.shape
        boxes = F.pad(at.float(), (0, 1), value=0.3)  # [f h w+1], a line after each
        ax.imshow(boxes.permute(1, 0, 2).flatten(1), cmap="Blues", vmin=0, vmax=1.2)
        ax.set(xticks=[], yticks=[])
        counts = f"positions changed: {int(at.sum())}, in frames: {int(at.flatten(1).any(1).sum())}"
        ax.set_title(f"{name}; {counts}", size=SMALL, loc="left")
    ax.set_xticks([w / 2 - 0.5 + (w + 1) * i for i in range(f)], range(f))
    ax.set_xlabel("frame; inside each, its pixels")
    plt.close(figure)
    return figure


def bars(traces: Mapping[str, Trace]) -> Figure:
    """Parameters and FLOPs by kind of layer, in percent, of one to three models. ValueError: another number of them."""
    if not 1 <= len(traces) <= 3:
        raise ValueError(f"traces has {len(traces)} models: give one to three, such as {{'cartoon': trace}}.")
    kinds = [kind for kind in COLOURS if any(_percents(t, "flops").get(kind, 0) >= 0.05 for t in traces.values())]
    figure, both = plt.subplots(1, 2, figsize=(14, 1.6 + 0.6 * len(kinds)), sharey=True, layout="constrained")
    for ax, what, title in zip(both, ("parameters", "flops"), ("parameters, %", "FLOPs, %"), strict=True):
        for n, trace in enumerate(traces.values()):
            _bars(ax, n, len(traces), {kind: _percents(trace, what).get(kind, 0) for kind in kinds})
        ax.set_title(title, size=TEXT + 3, weight="bold")
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        ax.tick_params(labelsize=TEXT, left=False)
        ax.set_xticks([])
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1)
    both[0].set_yticks(range(len(kinds)), kinds)
    both[0].invert_yaxis()
    labels = [f"{name}: {_parameters(t)}, {si(t.total.flops)}FLOP" for name, t in traces.items()]
    swatches = [
        Rectangle((0, 0), 1, 1, facecolor=LINE, edgecolor="white", hatch=HATCHES[n]) for n in range(len(labels))
    ]
    figure.legend(swatches, labels, loc="outside lower center", ncols=3, fontsize=TEXT, frameon=False)
    plt.close(figure)
    return figure


def _percents(trace: Trace, what: str) -> dict[str, float]:
    whole = getattr(trace.total, what)
    return {kind: 100 * getattr(work, what) / whole for kind, work in trace.by_kind().items()}


def _bars(ax: Axes, n: int, count: int, values: dict[str, float]) -> None:
    """The bars of model n of `count`: kind -> percent."""
    thick = 0.8 / count
    places = [i + (n - (count - 1) / 2) * thick for i in range(len(values))]
    style = {"color": [COLOURS[kind] for kind in values], "edgecolor": "white", "hatch": HATCHES[n]}
    drawn = ax.barh(places, values.values(), 0.92 * thick, **style)
    ax.bar_label(drawn, fmt="%.1f", padding=4, size=SMALL, color=INK)


def _parameters(trace: Trace) -> str:
    return f"{si(trace.total.parameters).strip()} parameters"


def _blocks(trace: Trace, side: str) -> list[str]:
    """The names of the blocks on one side. ValueError: none."""
    names = [row.name for row in trace.rows if re.fullmatch(rf"{side}\.\d+", row.name)]
    if not names:
        raise ValueError(f"the trace has no {side}: trace a UNet, pipe.unet or loading.skeleton(name)['unet'].")
    return names


def _layers(trace: Trace, block_: str, part: str) -> list[str]:
    return [row.name for row in trace.rows if re.fullmatch(rf"{re.escape(block_)}\.{part}\.\d+", row.name)]


def _sequence(trace: Trace, block_: str) -> list[list[str]]:
    """The layers of a block: for each, the names of its parts in running order. ValueError: no such block."""
    parts = [_layers(trace.part(block_), block_, part) for part in LAYER]
    return [list(filter(None, layer)) for layer in zip_longest(*parts)]


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, the same bytes each time. Errors: those of files.write_whole."""
    return files.write_whole(path, lambda part: figure.savefig(part, dpi=DPI, metadata={"Software": None}))


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty page, measured in inches from the lower left."""
    figure = plt.figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    plt.close(figure)  # or a notebook would show it twice
    return figure, ax


def _box(ax: Axes, x: float, y: float, width: float, height: float, colour: str, edge: str = "none") -> None:
    shape = "round,pad=0,rounding_size=0.1"
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, facecolor=colour, edgecolor=edge))


def _arrow(ax: Axes, start, end, bend: str = "arc3", style: str = "solid", colour: str = LINE) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=18, shrinkA=0, shrinkB=0, lw=1.8,
                                 color=colour, linestyle=style, connectionstyle=bend))  # fmt: skip


def _note(ax: Axes, x: float, y: float, text: str, **style) -> None:
    ax.text(x, y, text, **({"size": TEXT, "ha": "center", "va": "center", "linespacing": 1.4, "color": INK} | style))


def _legend(ax: Axes, x: float, y: float) -> None:
    for i, kind in enumerate(CHIPS):
        _patch(ax, x + 2.75 * i, y, 0.3, 0.3, COLOURS[kind])
        _note(ax, x + 2.75 * i + 0.4, y + 0.14, kind, ha="left")


def _patch(ax: Axes, x: float, y: float, width: float, height: float, colour) -> None:
    ax.add_patch(Rectangle((x, y), width, height, facecolor=colour, lw=0))


def _ink(colour) -> str:
    """Black or white, whichever is more legible on the colour, by WCAG 2's relative luminance."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colors.to_rgb(colour)]
    return INK if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.2 else "white"


def _times(numbers) -> str:
    return " × ".join(map(str, numbers))
