"""A file of tensors is looked at by its header first: no shape there is too strange for one sentence."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from t2v_helpers.core import tensors


def with_shape(path, shape):
    """A file with one float and, before it, a tensor x of no bytes."""
    header = {"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    header["y"] = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    return path


@pytest.mark.parametrize("shape", [[0], [0, 2**63], [2**62, 0, 2**62], [0, 2**64 - 1], [0] * 100])
def test_a_shape_without_numbers_is_refused_whatever_its_other_sides(tmp_path, shape):
    with pytest.raises(ValueError, match="^x in w.safetensors holds no numbers.$"):
        tensors.read([with_shape(tmp_path / "w.safetensors", shape)])


@pytest.mark.parametrize("shape", [[2**64, 0], [10**30, 0], [10**400, 0], [-1], [1e308], [True]])
def test_a_shape_that_no_file_can_have_is_damage(tmp_path, shape):
    with pytest.raises(ValueError, match="cut short or damaged"):
        tensors.read([with_shape(tmp_path / "w.safetensors", shape)])


def test_a_shape_of_many_axes_is_refused_briefly(tmp_path):
    save_file({"x": torch.ones([1] * 5000)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="^x in w.safetensors has 5000 axes, but 8 are the most.$"):
        tensors.read([tmp_path / "w.safetensors"])


def test_a_single_number_is_read(tmp_path):
    save_file({"x": torch.tensor(2.0)}, tmp_path / "w.safetensors")
    assert tensors.read([tmp_path / "w.safetensors"])["x"] == 2
