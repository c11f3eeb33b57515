"""Measures drawn side by side: every value and both ends of its interval are where the axis says."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.show import intervals

matplotlib.use("agg")
ONE, TWO = Measure(2.0, 1.0, 4.0, 9), Measure(3.0, 2.5, 3.5, 9)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def ends(container) -> np.ndarray:
    """Both ends of the bars of an errorbar: [n 2 (x y)]."""
    return np.array(container[2][0].get_segments())


def test_a_line_goes_through_the_values_and_its_bars_are_the_intervals(ax):
    intervals.lines(ax, (4, 16), {"a": [ONE, TWO], "b": [TWO, ONE]})
    first, second = ax.containers
    assert first[0].get_ydata().tolist() == [2, 3] and second[0].get_ydata().tolist() == [3, 2]
    assert ends(first)[:, :, 1].tolist() == [[1, 4], [2.5, 3.5]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_xscale() == "log" and ax.get_xticks().tolist() == [4, 16]


def test_neighbours_do_not_hide_one_another(ax):
    intervals.lines(ax, (4, 16), {"a": [ONE, TWO], "b": [ONE, TWO]})
    left, right = (container[0].get_xdata() for container in ax.containers)
    assert (left < (4, 16)).all() and (right > (4, 16)).all()


def test_a_measure_for_each_x_is_wanted(ax):
    with pytest.raises(ValueError, match="'a' has 1 measures, but x has 2"):
        intervals.lines(ax, (4, 16), {"a": [ONE]})


def test_the_first_row_stands_above_whoever_shares_the_axis():
    figure, panels = plt.subplots(1, 2, sharey=True)
    for ax in panels:
        intervals.rows(ax, {"top": {"a": ONE, "b": TWO}, "below": {"a": TWO, "b": ONE}})
    bottom, top = panels[0].get_ylim()
    assert bottom > top and [text.get_text() for text in panels[0].get_yticklabels()] == ["top", "below"]
    a, b = panels[0].containers
    assert a[0].get_xdata().tolist() == [2, 3] and ends(b)[:, :, 0].tolist() == [[2.5, 3.5], [1, 4]]
    assert np.round((b[0].get_ydata() - a[0].get_ydata()), 6).tolist() == [intervals.LANE] * 2
    plt.close(figure)


def test_a_single_name_needs_no_legend(ax):
    intervals.rows(ax, {"top": {"a": ONE}, "below": {"a": TWO}})
    assert ax.get_legend() is None
