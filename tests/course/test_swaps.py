"""What notebook 06 does around its swaps: least squares, captions, and which videos are right."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from t2v_helpers import cartoon, metrics
from t2v_helpers.course import swaps

matplotlib.use("agg")
ITEMS = [cartoon.item(3, i, 8) for i in range(3)]
VIDEOS, ASKED = [item.frames for item in ITEMS], [item.labels for item in ITEMS]


def test_least_squares_survive_a_column_that_repeats_another():
    x = torch.randn(20, 1, generator=torch.Generator().manual_seed(0)).expand(20, 2)
    weight, bias = swaps.least_squares(x, 3 * x[:, :1] + 1)
    torch.testing.assert_close(x @ weight + bias, 3 * x[:, :1] + 1, atol=1e-3, rtol=1e-3)


def test_captions_leave_out_what_is_asked_and_follow_from_the_seed():
    found = swaps.captions(40, ASKED)
    assert found == swaps.captions(40, ASKED) != swaps.captions(40, ASKED, seed=1)
    assert not {cartoon.parse(caption) for caption in found} & set(ASKED)


def test_a_video_is_right_where_the_judge_reads_all_that_was_asked():
    others = metrics.shuffled(ASKED)
    assert swaps.right(VIDEOS, ASKED) == [True] * 3 and swaps.right(VIDEOS, others) != [True] * 3
    assert swaps.adherence(iter(VIDEOS), ASKED).startswith(" 3 of 3 show all that was asked: 100%")


def test_every_video_needs_its_labels():
    with pytest.raises(ValueError, match="shorter"):
        swaps.right(VIDEOS, ASKED[:2])


def test_the_plot_has_a_mark_for_each_label_and_encoder():
    swaps.plot_adherence({"own": VIDEOS, "other": VIDEOS[::-1]}, ASKED)
    ax = plt.gca()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["own", "other"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [*metrics.LABELS, metrics.ALL_FOUR]
    plt.close("all")


def test_the_middle_frames_are_shown(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(swaps, "show_filmstrip", lambda *given: seen.append(given))
    swaps.show_middles(VIDEOS, ["a", "b", "c"], "three", 2)
    frames, *rest = seen[0]
    assert np.array_equal(frames[1], VIDEOS[1][4]) and rest == ["three", 2, ["a", "b", "c"]]
