"""Charts of measured values: lines with their 95 % intervals, in panels side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.show.display import LINES, PALETTE, show_figure

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
            ax.axvline(mark, color="0.7", linestyle=":", label="the base")
        _scale(ax, log, ticks or {x: f"{x:g}" for x, _ in next(iter(drawn.values()))})
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.set_ylim(bottom=0)
    row[0][0].legend(fontsize=8)
    figure.suptitle(title, fontsize=8)
    show_figure(figure, f"{len(charts)} panels over {xlabel}: {', '.join(charts)}")
    plt.close(figure)


def _scale(ax: Axes, log: bool, ticks: Mapping[float, str]) -> None:
    ax.set_xscale("log" if log else "linear")
    ax.set_xticks(list(ticks), list(ticks.values()), fontsize=7)
    ax.minorticks_off()
