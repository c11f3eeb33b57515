"""Charts: every measure with its interval is in the picture, and the page gets one PNG with words."""

import matplotlib
import numpy as np
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


def shown(draw, *words) -> str:
    """The text of the one picture that `draw` leaves in a page."""
    InteractiveShell.instance()
    with capture_output() as page:
        draw(*words)
    (picture,) = page.outputs
    assert "image/png" in picture.data and not plt.get_fignums()
    return picture.data["text/plain"]


def test_a_roofline_names_every_kind():
    kinds = {"conv": (50.0, 1e11, 0.6), "attention": (2.0, 1e10, 0.4)}
    assert shown(charts.roofline, kinds, 2e11, 4e10) == "a roofline with conv, attention as points"


def test_pictures_stand_beside_their_differences(monkeypatch):
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 200, np.uint8)
    titles = []
    monkeypatch.setattr(matplotlib.axes.Axes, "set_title", lambda ax, text, **_: titles.append(text))
    assert shown(charts.beside, {"as it is": black, "grey": grey}, "a dog").startswith("a dog; as it is, grey")
    assert titles == ["as it is", "mean 0.0", "grey", "mean 200.0"]


def test_one_picture_has_nothing_to_stand_beside():
    with pytest.raises(ValueError, match="pictures holds 1"):
        charts.beside({"alone": np.zeros((4, 4, 3), np.uint8)}, "")
