"""The checks of notebook 01: what is inside a text-to-video model?"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2v_helpers.checks.advice import Advice, close, noises, nothing_from, tensor_advice
from t2v_helpers.core import layout
from t2v_helpers.inside import tracing, unet


def check_01_1(as_sequences: Callable) -> Advice:
    """`as_sequences(x [(b f) c h w], batch) -> [(b h w) f c]`: each pixel of each video, a sequence of frames."""
    x = torch.arange(2 * 3 * 4 * 2 * 5.0).reshape(6, 4, 2, 5)  # [(b f) c h w]
    wanted = layout.unfold_frames(x, 2).permute(0, 3, 4, 2, 1).flatten(0, 2)  # [(b h w) f c]
    mistakes = {
        "reshape alone moves no axis: it cuts the same row of numbers at other places. Unfold f, then permute.":
            x.reshape(20, 3, 4),
        "You unfold (b f) as if it were (f b): the videos get into one another. The batch comes first.":
            x.unflatten(0, (3, 2)).permute(1, 3, 4, 0, 2).flatten(0, 2),
        "The sequences are right, but in another order: (h w b). The batch comes first.":
            layout.unfold_frames(x, 2).permute(3, 4, 0, 2, 1).flatten(0, 2),
        "The sequences are right, but they go through each picture column by column: h comes before w.":
            layout.unfold_frames(x, 2).permute(0, 4, 3, 2, 1).flatten(0, 2),
    }  # fmt: skip
    otherwise = "The first sequence must be x[:3, :, 0, 0]: the first pixel of the first video in its three frames."
    yield tensor_advice("as_sequences", as_sequences(x, 2), wanted, mistakes, otherwise)
    return "Each row is one pixel in all its frames: that is all that temporal attention ever sees."


def check_01_2(temporal_conv: Callable) -> Advice:
    """`temporal_conv(x [b c f h w], weight [out c 3 1 1], bias [out])`: compared with a Conv3d of kernel (3, 1, 1)."""
    x, weight, bias = noises((2, 4, 5, 3, 2), (6, 4, 3, 1, 1), (6,))
    wanted = F.conv3d(x, weight, bias, padding=(1, 0, 0))  # [b out f h w]
    wide = [torch.cat([x[:, :, a], x, x[:, :, b]], dim=2) for a, b in (([-1], [0]), ([0], [-1]))]  # [b c f+2 h w]
    circle, copies = (F.conv3d(longer, weight, bias) for longer in wide)
    mistakes = {
        "Each frame is still alone: add what the frame before and the frame after say.":
            F.conv3d(x, weight[:, :, 1:2], bias),
        "Before and after are swapped: the first matrix belongs to frame f - 1.":
            F.conv3d(x, weight.flip(2), bias, padding=(1, 0, 0)),
        "The first frame hears the last one, and the last the first. Outside of the video there are zeros.": circle,
        "Outside of the video there are zeros, not copies of the first and the last frame.": copies,
        "The frame after is missing: each frame hears itself and the one before.":
            F.conv3d(F.pad(x, (0, 0, 0, 0, 1, 0)), weight[:, :, :2], bias),
        "The frame before is missing: each frame hears itself and the one after.":
            F.conv3d(F.pad(x, (0, 0, 0, 0, 0, 1)), weight[:, :, 1:], bias),
    }  # fmt: skip
    given = temporal_conv(x, weight, bias)
    right = isinstance(given, Tensor) and given.shape == wanted.shape and close(given[:, :, 0], wanted[:, :, 0])
    otherwise = (
        f"Frame 0 is {'right' if right else 'wrong already'}: it is here @ x[:, :, 0] + after @ x[:, :, 1] + bias. "
        "The frames between have three terms, and the bias."
    )
    yield tensor_advice("temporal_conv", given, wanted, mistakes, otherwise)
    return "Three matrices, one for each neighbour: a Conv3d of kernel (3, 1, 1) does no more than this."


def check_01_3(with_positions: Callable) -> Advice:
    """`with_positions(x [n f c])`: x and, to each frame, cosines and sines of its number, the same for all n pixels."""
    (x,) = noises((7, 5, 8))  # [(b h w) f c]
    code = unet.sinusoidal(torch.arange(7), 8)  # [7 c]
    wanted = x + code[:5]
    mistakes = {
        "You number the pixels, not the frames: frames are the axis in the middle.": x + code[:, None],
        "Cosines come first, then sines, as in the embedding of the timestep.": x + code[:5].roll(4, dims=1),
        "The numbers begin at 1; the first frame is number 0.": x + code[1:6],
        "That is the code alone: add it to x.": code[:5].expand(7, 5, 8),
    }
    shown = ", ".join(f"{number:.2f}" for number in code[1])
    otherwise = f"With 8 channels, with_positions(x) - x should hold {shown} for frame 1, whatever the pixel."
    yield tensor_advice("with_positions", with_positions(x), wanted, mistakes, otherwise)
    return "Now a frame can be told from its neighbours, and attention from a set becomes attention along time."


def check_01_4(conv_cost: Callable) -> Advice:
    """`conv_cost(inputs, outputs, kernel, places) -> (parameters, flops)`: compared with torch's own count."""
    for layer, shape in (
        (nn.Conv2d(6, 4, 3, padding=1), (5, 7)),
        (nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0)), (4, 3, 2)),
    ):
        c, out, kernel, places = layer.in_channels, layer.out_channels, layer.kernel_size, int(np.prod(shape))
        given = conv_cost(c, out, kernel, places)
        yield nothing_from("conv_cost", given)
        if not isinstance(given, tuple | list) or len(given) != 2:
            yield f"conv_cost gave back {given!r}; two numbers are wanted: (parameters, flops)."
        work = tracing.trace(layer, torch.zeros(1, c, *shape)).total
        if tuple(given) != (work.parameters, work.flops):
            what = f"For {c} to {out} channels, kernel {kernel}, {places} places: "
            yield what + _cost_advice(*given, work, out, int(np.prod(kernel)), places)
    return "The parameters do not ask how large the video is; the FLOPs do."


def _cost_advice(parameters: float, flops: float, true: tracing.Work, out: int, taps: int, places: int) -> str:
    if (parameters, flops) == (true.flops, true.parameters):
        return "the two numbers are exchanged: (parameters, flops) is wanted, in this order."
    if 0 < abs(parameters - true.parameters) <= out:
        what = f"{parameters} parameters, but there are {true.parameters}: "
        return what + "are the biases right? There is one for each channel that comes out."
    if parameters != true.parameters:
        return (
            f"{parameters} parameters, but there are {true.parameters}. Each output reads {taps} places of every input."
        )
    if places * flops == true.flops:
        return "the parameters are right, but each weight works at every place: the FLOPs are times `places`."
    if 2 * flops == true.flops:
        return "the FLOPs are half of what torch counts: a multiplication and an addition are two."
    return f"the parameters are right, but {flops} FLOPs are not {true.flops}. Torch leaves the bias out."
