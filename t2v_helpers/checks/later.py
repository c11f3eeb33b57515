"""The checks of notebook 14: what came after."""

from collections.abc import Callable

import torch

from t2v_helpers.checks import advice
from t2v_helpers.checks.advice import Advice
from t2v_helpers.inside import dit


def check_14_1(tokens: Callable) -> Advice:
    """`tokens(frames, height, width, stride, patch)`: how many a clip has; stride and patch are (t, h, w)."""
    for frames, height, width, stride, patch in (
        (81, 480, 832, (4, 8, 8), (1, 2, 2)), (161, 512, 704, (8, 32, 32), (1, 1, 1)),
        (1, 480, 832, (4, 8, 8), (1, 2, 2)), (16, 256, 192, (1, 8, 8), (1, 1, 1)),
        (29, 256, 192, (4, 8, 8), (2, 2, 2)),
    ):  # fmt: skip
        wanted = _tokens(1 + (frames - 1) // stride[0], height, width, stride, patch)
        one, whole = _tokens(1, height, width, stride, patch), wanted * patch[1] * patch[2]
        mistakes = {
            "frames_not_cut": wanted * patch[0],
            "no_first": frames // stride[0] * one,
            "fractions": frames / stride[0] * one,
            "first_twice": (1 + frames // stride[0]) * one,
            "places": whole,
            "one_side": whole / patch[1],
            "pixels": whole * stride[1] * stride[2],
            "every_frame": frames * one,
        }
        yield advice.number("tokens", tokens(frames, height, width, stride, patch), wanted, mistakes)


def _tokens(latent_frames: int, height: int, width: int, stride: tuple, patch: tuple) -> int:
    return latent_frames // patch[0] * (height // stride[1] // patch[1]) * (width // stride[2] // patch[2])


def check_14_2(velocity_from: Callable) -> Advice:
    """`velocity_from(x_t, eps, sigma)`: the velocity of flow matching, from a network's guess of the noise."""
    x_t, eps = advice.noises(advice.VIDEO, advice.VIDEO)
    for sigma in (0.2, 0.5, 0.9):
        x_0 = (x_t - sigma * eps) / (1 - sigma)
        mistakes = {
            "turned": x_0 - eps,
            "clean": x_0,
            "not_divided": eps - x_t,
            "by_sigma": (eps - x_t) / sigma,
            "clean_not_divided": eps - (x_t - sigma * eps),
            "no_x_0": eps - x_t / (1 - sigma),
            "root": eps - (x_t - sigma**0.5 * eps) / (1 - sigma) ** 0.5,
        }
        yield advice.tensor("velocity_from", velocity_from(x_t.clone(), eps.clone(), sigma), eps - x_0, mistakes)


def check_14_3(patches: Callable) -> Advice:
    """`patches(x, patch)`: latents [b c f h w] in patches [b n (c p q r)], frame by frame and row by row."""
    for shape, (p, q, r) in (((2, 3, 2, 4, 8), (1, 2, 2)), ((2, 3, 4, 4, 6), (2, 2, 3)), ((1, 2, 4, 6, 4), (4, 3, 1))):
        x = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)
        b, c, frames, height, width = shape
        f, h, w = frames // p, height // q, width // r
        wanted, neighbours = dit.cut(x, (p, q, r)), x.reshape(b, c, f, p, h, q, w, r)
        mistakes = {
            "not_moved": x.reshape(wanted.shape),
            "channels_last": neighbours.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(wanted.shape),
            "columns_first": neighbours.permute(0, 6, 4, 2, 1, 3, 5, 7).reshape(wanted.shape),
            "patches_inside": neighbours.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(wanted.shape),
            "far_apart": x.reshape(b, c, p, f, q, h, r, w).permute(0, 3, 5, 7, 1, 2, 4, 6).reshape(wanted.shape),
        }
        given = patches(x.clone(), (p, q, r))
        if isinstance(given, torch.Tensor) and given.shape == wanted.mT.shape != wanted.shape:
            yield "turned"
        if isinstance(given, torch.Tensor) and given.ndim > 3 and given.numel() == wanted.numel():
            yield "not_joined"
        yield advice.tensor("patches", given, wanted, {k: x for k, x in mistakes.items() if not torch.equal(x, wanted)})
