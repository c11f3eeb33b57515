"""layout: axes and ranges, held against einsum-free definitions and diffusers' own post-processing."""

import numpy as np
import pytest
import torch
from diffusers.video_processor import VideoProcessor

from t2v_helpers.core import layout


def test_fold_frames_puts_frame_f_of_video_b_at_row_b_times_frames_plus_f():
    x = torch.randn(2, 3, 4, 5, 6)
    folded = layout.fold_frames(x)
    assert folded.shape == (8, 3, 5, 6)
    for b in range(2):
        for f in range(4):
            torch.testing.assert_close(folded[b * 4 + f], x[b, :, f], rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_unfold_undoes_fold(batch):
    x = torch.randn(batch, 3, 4, 5, 6)
    torch.testing.assert_close(layout.unfold_frames(layout.fold_frames(x), batch), x, rtol=0, atol=0)


def test_every_uint8_survives_the_way_to_float_and_back():
    frames = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 2, 8, 16, 3)
    x = layout.to_float(frames)
    assert x.shape == (1, 3, 2, 8, 16) and x.dtype == torch.float32
    assert x.min() == -1 and x.max() == 1
    torch.testing.assert_close(layout.to_uint8(x), frames, rtol=0, atol=0)


def test_to_uint8_equals_the_post_processing_of_diffusers():
    x = torch.randn(2, 3, 4, 8, 8)  # wide enough that some values are clipped
    theirs = VideoProcessor().postprocess_video(x, output_type="np")  # [b f h w c] in [0, 1]
    torch.testing.assert_close(layout.to_uint8(x), torch.from_numpy(theirs * 255).round().to(torch.uint8))


def test_to_uint8_rounds_to_the_nearest_value_and_clips():
    x = torch.tensor([-9.0, 0.5 / 127.5 - 1, 0.51 / 127.5 - 1, 9.0]).reshape(1, 1, 1, 1, 4)
    assert layout.to_uint8(x).flatten().tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("call", [layout.fold_frames, layout.to_uint8, layout.to_float])
def test_too_few_axes(call):
    with pytest.raises(ValueError, match=r"\[2, 3, 8, 8\].*\[b \w .*\]"):
        call(torch.zeros(2, 3, 8, 8))


def test_unfold_refuses_a_video():
    with pytest.raises(ValueError, match=r"but \[bf c h w\] is needed"):
        layout.unfold_frames(torch.zeros(1, 3, 2, 8, 8), batch=1)


@pytest.mark.parametrize("batch", [0, -1, 4])
def test_unfold_refuses_a_batch_that_does_not_divide(batch):
    with pytest.raises(ValueError, match=f"6 images cannot be shared among batch={batch} videos"):
        layout.unfold_frames(torch.zeros(6, 3, 8, 8), batch)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_to_uint8_refuses_what_is_not_finite(value):
    with pytest.raises(ValueError, match="NaN or infinite"):
        layout.to_uint8(torch.full((1, 3, 1, 2, 2), value))
    with pytest.raises(ValueError, match="^load another model$"):
        layout.to_uint8(torch.full((1, 3, 1, 2, 2), value), "load another model")


def test_to_uint8_refuses_what_it_would_scramble():
    with pytest.raises(ValueError, match="use x.transpose"):
        layout.to_uint8(torch.zeros(1, 16, 3, 8, 8))  # of a pipeline with output_type="pt"
    with pytest.raises(ValueError, match="x is torch.int64, but floats from -1 to 1"):
        layout.to_uint8(torch.full((1, 3, 1, 2, 2), 128))


@pytest.mark.parametrize(("call", "x", "said"), [
    (layout.to_uint8, np.zeros((1, 3, 1, 2, 2)), r"x is of type ndarray: use a tensor \[b c f h w\]"),
    (layout.to_uint8, None, "x is of type NoneType: use a tensor"),
    (layout.to_uint8, torch.zeros(1, 3, 1, 2, 2, device="meta"), "x is on the device meta.* no values"),
    (layout.to_uint8, torch.zeros(1, 16, 2, 8, 8), r"16 channels in \[b c f h w\], but 3 .*: decode latents first"),
    (layout.to_uint8, torch.ones(1, 3, 1, 2, 2) > 0, r"x is torch.bool, .*: use 2 \* x.float\(\) - 1\.$"),
    (layout.to_uint8, torch.zeros(1, 3, 1, 2, 2) * 1j, "x is torch.complex64, .*: choose its real part"),
    (layout.to_float, np.zeros((1, 1, 2, 2, 3), np.uint8), "frames is of type ndarray: use a tensor"),
    (layout.to_float, torch.zeros(1, 1, 2, 2, 3, dtype=torch.uint8, device="meta"), "frames is on the device meta"),
    (layout.to_float, torch.zeros(1, 1, 2, 2, 4, dtype=torch.uint8), "4 channels in .*: leave alpha out"),
])  # fmt: skip
def test_what_holds_no_pixels_is_refused(call, x, said):
    with pytest.raises(ValueError, match=said):
        call(x)


def test_to_float_refuses_floats():
    with pytest.raises(ValueError, match=r"frames are torch.float32, but uint8"):
        layout.to_float(torch.zeros(1, 2, 8, 8, 3))
