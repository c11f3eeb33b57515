"""The checks of notebook 14: what came after."""

from collections.abc import Callable

from t2v_helpers.checks import advice
from t2v_helpers.checks.advice import Advice


def check_14_1(tokens: Callable) -> Advice:
    """`tokens(frames, height, width, stride, patch)`: how many a clip has; stride and patch are (t, h, w)."""
    for frames, height, width, stride, patch in (
        (81, 480, 832, (4, 8, 8), (1, 2, 2)), (161, 512, 704, (8, 32, 32), (1, 1, 1)),
        (1, 480, 832, (4, 8, 8), (1, 2, 2)), (16, 256, 192, (1, 8, 8), (1, 1, 1)),
    ):  # fmt: skip
        wanted = _tokens(1 + (frames - 1) // stride[0], height, width, stride, patch)
        one, whole = _tokens(1, height, width, stride, patch), wanted * patch[1] * patch[2]
        mistakes = {
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
