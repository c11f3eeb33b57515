"""The checks of notebook 09: how good is a video?"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from t2v_helpers import cartoon, metrics
from t2v_helpers.checks.advice import Advice, noises, nothing_from, number_advice

SETTLED = ((0.1, 0.3), (-0.3, -0.1))  # intervals on one side of 0
OPEN = ((-0.1, 0.3), (-0.3, 0.1))
ANSWERS = ("better", "worse", "cannot tell")
ANOTHER, MOVES = 15.0, 0.5  # dB of PSNR, below which a clip is another one; grey levels of change from frame to frame
FALLS = 0.9  # of the first error: a clip that runs backwards is a little below 1 by chance


def check_09_1(read_aloud: Callable) -> Advice:
    """`read_aloud(low, high, higher_is_better)` -> "better", "worse" or "cannot tell"."""
    for low, high in SETTLED + OPEN:
        for higher in (True, False):
            given = read_aloud(low, high, higher)
            yield nothing_from("read_aloud", given)
            up = "better" if higher else "worse"
            wanted = {True: up, False: "better" if up == "worse" else "worse"}[low > 0]
            yield _reading_advice(given, "cannot tell" if low < 0 < high else wanted, (low, high), higher)
    return "'Cannot tell' is not 'equal': more seeds might settle it."


def _reading_advice(given: object, wanted: str, span: tuple[float, float], higher: bool) -> str | None:
    """None where the reading is the one that is wanted; else what is wrong with it."""
    where = f"For {span[0]} to {span[1]} and higher_is_better={higher}"
    if given == wanted:
        return None
    if given not in ANSWERS and wanted == "cannot tell":
        return f"{where} you say {given!r}. An interval that holds 0 does not show that both are equal: 'cannot tell'."
    if given not in ANSWERS:
        return f"{where} you say {given!r}. Only these three answers count, spelt so: {', '.join(map(repr, ANSWERS))}."
    if wanted == "cannot tell":
        return f"{where} you say {given!r}, but the interval holds 0: its middle, or one of its ends, settles nothing."
    if given == "cannot tell":
        return f"{where} you say {given!r}, but the whole interval lies on one side of 0."
    better, side = "higher" if higher else "lower", "above" if span[0] > 0 else "below"
    return f"{where} you say {given!r}. Mind the direction: where {better} is better, a change {side} 0 is {wanted}."


def check_09_2(clipsim: Callable) -> Advice:
    """`clipsim(frames, text)`: the mean cosine of frames [f d] and text [d]."""
    frames, text = noises((5, 8))[0] * torch.arange(1, 6)[:, None], torch.ones(8) * 3
    lengths, cosines = frames.norm(dim=1), cosine_similarity(frames, text[None])
    mistakes = {
        "These are dot products: divide by the lengths of both vectors.": (frames @ text).mean(),
        "The text has no length one yet: divide by its length, too.": (cosines * text.norm()).mean(),
        "The frames have no length one yet: divide each by its own length.": (cosines * lengths).mean(),
        "The mean of the cosines is wanted. You took the cosine of the mean: long frames count more.":
            cosine_similarity(frames.mean(0), text, dim=0),
        "The mean of the cosines is wanted. Do not divide by the length of the mean.":
            cosine_similarity((frames / lengths[:, None]).mean(0), text, dim=0),
        "A length is the root of the sum of squares: take the root.": (cosines / lengths / text.norm()).mean(),
        "frames.norm() is one length for all frames together: dim=1 gives each frame its own.":
            (frames @ text / (frames.norm() * text.norm())).mean(),
        "dim=0 goes down the columns; dim=1 gives each frame its length.":
            (frames / frames.norm(dim=0) @ text / text.norm()).mean(),
        "That is the sum over the frames; the mean is wanted.": cosines.sum(),
        "That is the first frame alone; every frame counts.": cosines[0],
    }  # fmt: skip
    given = clipsim(frames, text)
    given = given.item() if isinstance(given, Tensor) and given.numel() == 1 else given
    if isinstance(given, Tensor) and given.shape == cosines.shape:
        yield "That is a number for each frame. Give back their mean."
    yield number_advice("clipsim", given, cosines.mean().item(), {k: x.item() for k, x in mistakes.items()})
    return "Frames are read one by one, so no order of them can change it."


def check_09_3(fool: Callable) -> Advice:
    """`fool(frames)`: another clip that moves; its warped error is a tenth below that of frames uint8 [f h w c]."""
    clip = cartoon.render(cartoon.Labels("robot", "walking right", "forest"), seed=3, frames=8)[0]
    given = fool(clip.copy())
    yield nothing_from("fool", given)
    if not isinstance(given, np.ndarray) or given.dtype != np.uint8 or given.shape != clip.shape:
        kind = f"{given.dtype} {list(given.shape)}" if isinstance(given, np.ndarray) else type(given).__name__
        yield f"fool gave back {kind}; uint8 {list(clip.shape)} is wanted, as it came in."
    apart, moves = metrics.psnr(clip, given), np.abs(np.diff(given.astype(float), axis=0)).mean()
    if moves < MOVES:
        yield f"Nothing moves ({moves:.2f} grey levels from frame to frame): that is the easy way."
    before, after = metrics.warped_error(clip), metrics.warped_error(given)
    if after >= FALLS * before:
        yield (
            f"The warped error was {before:.4f} and is {after:.4f}: it must fall, by a tenth at least. "
            "What makes *every* change small?"
        )
    if apart >= ANOTHER:
        yield f"Your clip is too near to the first one: PSNR {apart:.1f} dB, and below {ANOTHER:.0f} is wanted."
    return f"Warped error {before:.4f} before and {after:.4f} now, at a PSNR of {apart:.1f} dB. It calls that better."


def check_09_4(videos_for: Callable) -> Advice:
    """`videos_for(a, b)`: ceil(((1.96 + 0.84) sd(a - b) / mean(a - b))^2), for arrays of a number a seed."""
    rng = np.random.default_rng(26)  # here up is not to the nearest, and no two mistakes give one number
    b = rng.normal(0, 1, 30)
    a = b - 0.3 + rng.normal(0, 0.5, 30)
    d, both = a - b, 1.96 + 0.84
    ratio = d.std(ddof=1) / d.mean()
    unpaired = (a.var(ddof=1) + b.var(ddof=1)) / d.mean() ** 2
    wanted = math.ceil((both * ratio) ** 2)
    mistakes = {
        "That is the spread of a and b, as if they had other seeds. Take the differences first.":
            math.ceil(both**2 * unpaired),
        "0.84 is missing: so only half of the experiments find the difference.": math.ceil((1.96 * ratio) ** 2),
        "Square it: half the difference asks for four times as many videos.": math.ceil(abs(both * ratio)),
        "A ratio below 0 without its square. Square the whole fraction.": math.ceil(both * ratio),
        "Square first, then round up.": math.ceil(both * ratio) ** 2,
        "Square the fraction first, then round up.": math.ceil(abs(both * ratio)) ** 2,
        "Round up: a part of a video cannot be made.": math.floor((both * ratio) ** 2),
        "It is not rounded up yet.": (both * ratio) ** 2,
        "The spread s is the root of the variance: use std, not var.": math.ceil((both * ratio * d.std(ddof=1)) ** 2),
        "The spread of the differences is wanted, not that of their mean: do not divide it by the root of n.":
            math.ceil((both * ratio) ** 2 / len(d)),
        "Add 1.96 and 0.84 first, in brackets: the spread multiplies their sum.":
            math.ceil(((1.96 + 0.84 * d.std(ddof=1)) / d.mean()) ** 2),
        "Square the whole fraction, above and below the line.": math.ceil(abs(both * ratio / d.mean())),
        "The spread of a sample: ddof=1.": math.ceil((both * d.std() / d.mean()) ** 2),
    }  # fmt: skip
    yield number_advice("videos_for", videos_for(a, b), wanted, mistakes)
    return "Half the difference asks for four times as many videos."
