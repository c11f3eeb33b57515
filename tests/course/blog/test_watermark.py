"""The watermark: edges that stand still in all clips are found where they are, and scenes are not."""

import numpy as np
import pytest

from t2v_helpers.course.blog import watermark


def noise(count, f=6, size=64):
    """Clips of noise that is another one in every frame: count x uint8 [f h w 3]."""
    return list(np.random.default_rng(0).integers(60, 200, (count, f, size, size, 3), dtype=np.uint8))


def test_still_edges_are_where_a_clip_stands_still():
    clip = noise(1, f=31)[0]
    clip[:, 20:40, 30:] = np.minimum(clip[:, 20:40, 30:], 90)  # darker from column 30 on: an edge that stays
    edges = watermark.still_edges(clip)
    assert edges.shape == (64, 63) and edges[20:40, 29].mean() < -0.5 and abs(edges[:20]).mean() < 0.25


def test_a_mark_that_clips_share_is_found_where_it_stands_and_a_scene_is_not():
    clips = noise(4)
    plain = watermark.shared_band(clips[0], clips[1:])
    for clip in clips:
        clip[:, 40:48, ::5] = 255
    marked = watermark.shared_band(clips[0], clips[1:])
    assert (marked.top, marked.bottom) == (40, 48) and marked.strength > 10 > 6 > plain.strength


def test_a_mark_is_found_where_it_is_darker_too():
    clips = noise(3)
    for clip, grey in zip(clips, (0, 255, 255), strict=True):
        clip[:, 16:24, ::5] = grey
    assert watermark.shared_band(clips[0], clips[1:]).top == 16


@pytest.mark.parametrize("others", [[], noise(1, size=32)])
def test_bands_need_other_clips_of_one_size(others):
    with pytest.raises(ValueError, match=f"others holds {len(others)} clips"):
        watermark.shared_band(noise(1)[0], others)


def test_flat_clips_share_nothing():
    flat = np.full((2, 16, 16, 3), 90, np.uint8)
    assert watermark.shared_band(flat, [flat]).strength == 0
