"""A measure gives the same numbers whatever torch is set to when it is asked."""

import numpy as np
import pytest
import torch

from t2v_helpers import cartoon, metrics
from t2v_helpers.metrics import reading

VIDEOS = np.stack([cartoon.item(0, i, 4).frames for i in range(2)])
MEASURES = {
    "clip similarity": lambda: metrics.clip_similarity(VIDEOS[0], "a dog"),
    "frame similarity": lambda: metrics.frame_similarity(VIDEOS[0]),
    "features": lambda: metrics.features(VIDEOS),
    "the judge": lambda: [vars(labels) for labels in metrics.read(VIDEOS)],
    "the segmenter": lambda: metrics.marked(VIDEOS),
}


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    "state", [lambda: torch.autocast("cpu", torch.bfloat16), lambda: torch.device("meta"), torch.enable_grad]
)
def test_a_measure_does_not_depend_on_the_state_of_torch(name, state):
    alone = MEASURES[name]()
    with state():
        found = MEASURES[name]()
    np.testing.assert_array_equal(found, alone)


def test_all_is_as_it_was_afterwards_also_after_an_error():
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(KeyError), reading.exactly():
        assert not torch.is_autocast_enabled("cpu") and torch.is_inference_mode_enabled()
        raise KeyError
    assert not torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
