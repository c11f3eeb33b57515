"""Charts: lines of measured values with their 95 % intervals, a roofline, pictures beside their differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.show.display import LINES, PALETTE, axes, show_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = Iterable[tuple[float, Measure]]


def line(ax: Axes, points: Points, label: str = "", i: int = 0) -> None:
    """Draw (x, Measure) points as a line with intervals; i chooses colour, stroke and marker. ValueError: no points."""
    points = list(points)
    if not points:
        raise ValueError(f"points of the line {label!r} are empty: give at least one (x, Measure).")
    value, low, high = np.array([(m.value, m.low, m.high) for _, m in points]).T
    look = {"marker": "os^D"[i % 4], "color": PALETTE[i], "linestyle": LINES[i], "markersize": 4, "capsize": 3}
    ax.errorbar([x for x, _ in points], value, [value - low, high - value], label=label, **look)


def panels(
    xlabel: str,
    charts: Mapping[str, Mapping[str, Points]],
    title: str,
    ticks: Mapping[float, str] | None = None,
    log: bool = True,
    mark: float | None = None,
) -> None:
    """Show panels side by side: the label of a y axis -> {line: points}, over the same x, from y = 0.

    ticks: x -> text (None: every x of a panel's first line); mark: an x with a dotted line. ValueError: those of
    `line`.
    """
    from matplotlib import pyplot as plt

    figure, row = plt.subplots(1, len(charts), figsize=(10, 3), layout="constrained", squeeze=False)
    for ax, (ylabel, lines) in zip(row[0], charts.items(), strict=True):
        drawn = {label: list(points) for label, points in lines.items()}
        for i, (label, points) in enumerate(drawn.items()):
            line(ax, points, label, i)
        if mark is not None:
            ax.axvline(mark, color="0.7", linestyle=":", label="the base", zorder=0)
        _scale(ax, log, ticks or {x: f"{x:g}" for x, _ in next(iter(drawn.values()))})
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.set_ylim(bottom=0)
    row[0][0].legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    show_figure(figure, f"{len(charts)} panels over {xlabel}: {', '.join(charts)}")
    plt.close(figure)


def _scale(ax: Axes, log: bool, ticks: Mapping[float, str]) -> None:
    ax.set_xscale("log" if log else "linear")
    ax.set_xticks(list(ticks), list(ticks.values()), fontsize=9)
    ax.minorticks_off()


def roofline(kinds: Mapping[str, tuple[float, float, float]], peak: float, bandwidth: float) -> None:
    """Show what a machine allows, and where the kinds of layers lie.

    kinds: name -> (FLOP for each byte, FLOP/s, share of the time, which is the size of the point). peak in FLOP/s,
    bandwidth in bytes/s.
    """
    from matplotlib import pyplot as plt

    figure, ax = axes("intensity (FLOP for each byte)", "GFLOP a second", "The roof, and where the layers lie")
    ridge, at = peak / bandwidth, [intensity for intensity, _, _ in kinds.values()]
    x = np.geomspace(min(ridge, *at) / 2, 4 * max(ridge, *at), 200)
    ax.loglog(x, np.minimum(peak, x * bandwidth) / 1e9, color="black", label="the roof")
    ax.axvline(ridge, color="0.6", linestyle=":", label=f"the ridge, {ridge:.1f}")
    for i, (name, (intensity, rate, share)) in enumerate(kinds.items()):
        look = {"color": PALETTE[i % 6], "marker": "os^Dv<>ph*"[i % 10], "alpha": 0.8}
        ax.scatter(intensity, rate / 1e9, s=30 + 1500 * share, label=name, **look)
    for which in (ax.xaxis.set_major_formatter, ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        which("{x:g}")
    ax.legend(fontsize=7, loc="lower right", markerscale=0.5)
    show_figure(figure, f"a roofline with {', '.join(kinds)} as points")
    plt.close(figure)


def beside(pictures: Mapping[str, np.ndarray], title: str) -> None:
    """Show pictures uint8 [h w c] of one size in a row, and below each how far it is from the first, pixel by pixel.

    ValueError: fewer than two pictures.
    """
    from matplotlib import pyplot as plt

    if len(pictures) < 2:
        raise ValueError(f"pictures holds {len(pictures)}: give two or more, to be compared with the first.")
    first = next(iter(pictures.values())).astype(int)
    far = {name: np.abs(picture - first).mean(axis=-1) for name, picture in pictures.items()}  # [h w] each
    most = max(float(apart.max()) for apart in far.values()) or 1.0
    size = (2.2 * len(pictures), 4.6)  # inches
    figure, rows = plt.subplots(2, len(pictures), figsize=size, layout="constrained", squeeze=False)
    for above, below, (name, apart) in zip(*rows, far.items(), strict=True):
        above.imshow(pictures[name])
        image = below.imshow(apart, cmap="cividis", vmin=0, vmax=most)
        above.set_title(name, fontsize=9)
        below.set_title(f"mean {apart.mean():.1f}", fontsize=9)
    for ax in rows.flat:
        ax.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=rows[1], label="difference (grey levels)")
    figure.suptitle(title, fontsize=9)
    show_figure(figure, f"{title}; {', '.join(pictures)}, and how far each is from the first")
    plt.close(figure)
