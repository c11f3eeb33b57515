"""Draws measures with their 95 % intervals, side by side, so that none hides another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.show.display import LINES, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "os^Dv*Px"  # distinct in print
APART = 1.03  # neighbours on a logarithmic axis are this factor apart
LANE = 0.16  # neighbours in a row are this far apart; rows are 1 apart


def lines(ax: Axes, x: Sequence[float], found: Mapping[str, Sequence[Measure]]) -> None:
    """A line for each name, through a Measure at each x, on a logarithmic x axis. ValueError: not one for each x."""
    for i, (name, measures) in enumerate(found.items()):
        if len(measures) != len(x):
            raise ValueError(f"{name!r} has {len(measures)} measures, but x has {len(x)}: give one for each x.")
        value, low, high = _columns(measures)
        at = np.array(x) * APART ** (i - (len(found) - 1) / 2)
        style = {"label": name, "color": PALETTE[i], "linestyle": LINES[i], "marker": MARKERS[i], "markersize": 4}
        ax.errorbar(at, value, [value - low, high - value], capsize=2, **style)
    ax.set_xscale("log")
    ax.set_xticks(x, x, minor=False)
    ax.minorticks_off()
    ax.legend(fontsize=8)


def rows(ax: Axes, found: Mapping[str, Mapping[str, Measure]]) -> None:
    """A row for each key, with a point and its interval for each name in it; the names are the same in each row."""
    names = list(next(iter(found.values())))
    for i, name in enumerate(names):
        value, low, high = _columns([row[name] for row in found.values()])
        at = np.arange(len(found)) + (i - (len(names) - 1) / 2) * LANE
        style = {"label": name, "color": PALETTE[i], "marker": MARKERS[i], "markersize": 5}
        ax.errorbar(value, at, xerr=[value - low, high - value], capsize=2, linestyle="none", **style)
    ax.set_yticks(range(len(found)), list(found))
    ax.set_ylim(len(found) - 0.5, -0.5)  # the first row above
    ax.locator_params(axis="x", nbins=6)
    if len(names) > 1:
        ax.legend(fontsize=8)


def _columns(measures: Sequence[Measure]) -> np.ndarray:
    """[3 n]: values, lower and upper ends."""
    return np.array([(m.value, m.low, m.high) for m in measures]).T
