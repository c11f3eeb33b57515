"""Answers that differ from the solution and are right, too."""

import cv2
import numpy as np

from t2v_helpers import checks


def test_blur_fools_the_warped_error():
    verdict = checks.check_09_3(lambda frames: np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in frames]))
    assert verdict.ok, verdict.word


def test_time_averaging_fools_it_too():
    def fool(frames):
        neighbours = [frames[max(0, i - 2) : i + 3].mean(0) for i in range(len(frames))]
        return np.stack(neighbours).astype(np.uint8)

    assert checks.check_09_3(fool).ok
