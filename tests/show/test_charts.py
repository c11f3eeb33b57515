"""Charts: every measure with its interval is in the picture, and the page gets one PNG with words."""

import matplotlib
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib import pyplot as plt

from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.show import charts

matplotlib.use("agg")
POINTS = [(1, Measure(0.5, 0.25, 0.75, 8)), (2, Measure(0.75, 0.5, 1.0, 8))]


def test_a_line_has_its_values_and_its_intervals():
    figure, ax = plt.subplots()
    charts.line(ax, POINTS, "videos")
    (drawn,) = ax.containers
    (bars,) = drawn.lines[2]
    assert drawn.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.75]]
    assert [sorted(segment[:, 1]) for segment in bars.get_segments()] == [[0.25, 0.75], [0.5, 1.0]]
    plt.close(figure)


def test_a_line_without_points_is_refused():
    figure, ax = plt.subplots()
    with pytest.raises(ValueError, match="'videos' are empty"):
        charts.line(ax, [], "videos")
    plt.close(figure)


def test_panels_are_one_picture_that_says_what_it_shows():
    InteractiveShell.instance()
    with capture_output() as page:
        charts.panels("steps", {"share": {"videos": POINTS, "drawings": POINTS}, "flicker": {"videos": POINTS}}, "t")
    (shown,) = page.outputs
    assert shown.data["text/plain"] == "2 panels over steps: share, flicker" and "image/png" in shown.data
    assert shown.metadata["image/png"]["alt"] == shown.data["text/plain"] and not plt.get_fignums()
