"""Boxes and arrows: every box is drawn once, an arrow touches both of its boxes, and no label lies on a box."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from t2v_helpers.show import flow

STAGES = {"tokens": [2, 24], "embeddings": [2, 24, 128], "latents": [1, 8, 16, 8, 8], "video": [16, 64, 64, 3]}
FIGURES = {"stages": flow.stages(**STAGES, steps=25), "training and sampling": flow.training_and_sampling()}


@pytest.fixture(params=FIGURES)
def drawn(request):
    """The texts of a drawn figure: those in boxes, and the labels."""
    figure = FIGURES[request.param]
    FigureCanvasAgg(figure).draw()
    texts = [text for text in [*figure.texts, *figure.axes[0].texts] if text.get_text()]
    return [t for t in texts if t.get_bbox_patch()], [t for t in texts if not t.get_bbox_patch()]


def test_no_label_lies_on_a_box_and_none_leaves_the_page(drawn):
    boxes, labels = drawn
    page = boxes[0].figure.bbox
    for text in boxes + labels:
        where = text.get_window_extent()
        assert page.contains(where.x0, where.y0) and page.contains(where.x1, where.y1), text.get_text()
    for label in labels:
        hit = [
            b.get_text() for b in boxes if b.get_bbox_patch().get_window_extent().overlaps(label.get_window_extent())
        ]
        assert not hit, (label.get_text(), hit)


def test_an_arrow_ends_at_the_edges_of_its_boxes():
    figure = flow.flow({"a": (1, 1), "b": (4, 1)}, [("a", "b", "then")], (5, 2), ["b"])
    FigureCanvasAgg(figure).draw()
    a, b, arrow, _ = figure.axes[0].texts
    left, right = a.get_bbox_patch().get_window_extent().x1, b.get_bbox_patch().get_window_extent().x0
    x = arrow.arrow_patch.get_window_extent()
    assert left <= x.x0 < left + 10 and right - 10 < x.x1 <= right + 1
    assert a.get_bbox_patch().get_facecolor() != b.get_bbox_patch().get_facecolor()


def test_an_arrow_to_no_box_is_refused():
    with pytest.raises(KeyError, match="c"):
        flow.flow({"a": (1, 1), "b": (4, 1)}, [("a", "c", "")], (5, 2))
