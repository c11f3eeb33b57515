"""The picture at the top of the README: the live page at work, small enough for a page."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from t2v_helpers.core.paths import ROOT

PICTURE = ROOT / "web" / "live.webp"


@pytest.fixture(scope="module")
def screens() -> np.ndarray:
    """Its screens, int [f h w c]."""
    with Image.open(PICTURE) as image:
        return np.stack([np.asarray(screen.convert("RGB"), int) for screen in ImageSequence.Iterator(image)])


def test_it_is_small_and_as_wide_as_a_page():
    assert PICTURE.stat().st_size <= 1.5e6
    with Image.open(PICTURE) as image:
        assert 600 <= image.size[0] <= 1000 and image.info["loop"] == 0


def test_the_video_changes_while_the_page_around_it_stays(screens):
    """The stage is to the right; at the left edge there is nothing to move until the word is touched at the end."""
    whole = screens[: len(screens) // 2]
    width = whole.shape[2]
    moved = abs(np.diff(whole, axis=0)).mean((0, 1, 3))  # [w]
    assert moved[width // 2 :].mean() > 2 and moved[: width // 50].mean() < 0.5


def test_noise_is_seen_before_the_video(screens):
    """Between neighbouring screens of a video little changes; a screen of noise is far from what came before."""
    steps = abs(np.diff(screens[:, :, screens.shape[2] // 2 :], axis=0)).mean((1, 2, 3))
    assert len(screens) >= 40 and steps.max() > 20
