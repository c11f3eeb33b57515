"""The checks of notebooks 09 to 12: measuring it, and knowing a mistake when it is seen."""

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from t2v_helpers import cartoon, metrics
from t2v_helpers.checks import advice
from t2v_helpers.checks.advice import Advice
from t2v_helpers.core.checking import shown

ANSWERS = ("better", "worse", "cannot tell")
WORSE = 2 / 3  # of the sharpness: above it, a clip is as good
SAME = 0.5  # correlation: below it, a clip shows nothing of the other
MOVES, FALLS = 0.5, 0.9  # grey levels from frame to frame; of the first error: a clip backwards is a little below 1

HINTS = advice.TEXTS["12_2"]  # cause -> where to look; the mystery box holds each once


def check_09_1(read_aloud: Callable) -> Advice:
    """`read_aloud(low, high, higher_is_better)` -> "better", "worse" or "cannot tell"."""
    for low, high in ((0.1, 0.3), (-0.3, -0.1), (-0.1, 0.3), (-0.3, 0.1), (0.0, 0.3), (-0.3, 0.0)):
        for higher in (True, False):
            given = read_aloud(low, high, higher)
            wanted = "cannot tell" if low <= 0 <= high else "better" if higher == (low > 0) else "worse"
            yield advice.nothing("read_aloud", given) or _reading_advice(given, wanted, (low, high), higher)


def _reading_advice(given: object, wanted: str, span: tuple[float, float], higher: bool) -> str | None:
    """None where the reading is the one that is wanted; else what is wrong with it."""
    where = f"For {span[0]} to {span[1]} and higher_is_better={higher} you say {shown(given)}"
    if given == wanted:
        return None
    if given not in ANSWERS and wanted == "cannot tell":
        return f"{where}. An interval that holds 0 does not show that both are equal: 'cannot tell'."
    if given not in ANSWERS:
        return f"{where}. Only these three answers count, spelt so: {', '.join(map(repr, ANSWERS))}."
    if wanted == "cannot tell":
        return f"{where}, but the interval holds 0: its middle, or one of its ends, settles nothing."
    if given == "cannot tell":
        return f"{where}, but the whole interval lies on one side of 0."
    better, side = "higher" if higher else "lower", "above" if span[0] > 0 else "below"
    return f"{where}. Mind the direction: where {better} is better, a change {side} 0 is {wanted}."


def check_09_2(clipsim: Callable) -> Advice:
    """`clipsim(frames, text)`: the mean cosine of frames [f d] and text [d]."""
    frames, text = advice.noises((5, 8))[0] * torch.arange(1, 6)[:, None], torch.ones(8) * 3
    lengths, cosines = frames.norm(dim=1), cosine_similarity(frames, text[None])
    mistakes = {
        "dot": (frames @ text).mean(),
        "text_length": (cosines * text.norm()).mean(),
        "frame_length": (cosines * lengths).mean(),
        "mean_first": cosine_similarity(frames.mean(0), text, dim=0),
        "mean_of_directions": cosine_similarity((frames / lengths[:, None]).mean(0), text, dim=0),
        "no_root": (cosines / lengths / text.norm()).mean(),
        "one_length": (frames @ text / (frames.norm() * text.norm())).mean(),
        "columns": (frames / frames.norm(dim=0) @ text / text.norm()).mean(),
        "summed": cosines.sum(),
        "first_frame": cosines[0],
    }
    given = clipsim(frames, text)
    if isinstance(given, Tensor) and given.shape == cosines.shape:
        yield "That is a number for each frame. Give back their mean."
    yield advice.number("clipsim", given, cosines.mean().item(), {k: x.item() for k, x in mistakes.items()})


def check_09_3(fool: Callable) -> Advice:
    """`fool(frames)`: frames uint8 [f h w c] made clearly worse, still moving, with a warped error a tenth lower."""
    clip = cartoon.render(cartoon.Labels("robot", "walking right", "forest"), seed=3, frames=8)[0]
    given = fool(clip.copy())
    yield advice.nothing("fool", given)
    if not isinstance(given, np.ndarray) or given.dtype != np.uint8 or given.shape != clip.shape:
        kind = f"{given.dtype} {list(given.shape)}" if isinstance(given, np.ndarray) else type(given).__name__
        yield f"fool gave back {kind}; uint8 {list(clip.shape)} is wanted, as it came in."
    moves = np.abs(np.diff(given.astype(float), axis=0)).mean()
    if moves < MOVES:
        yield f"Nothing moves ({moves:.2f} grey levels from frame to frame): that is the easy way."
    before, after = metrics.warped_error(clip), metrics.warped_error(given)
    if after >= FALLS * before:
        yield (
            f"The warped error was {before:.4f} and is {after:.4f}: it must fall, by a tenth at least. "
            "What makes *every* change small?"
        )
    alike, sharp = np.corrcoef(clip.ravel(), given.ravel())[0, 1], metrics.sharpness(given) / metrics.sharpness(clip)
    if not alike >= SAME:
        yield f"Your clip no longer shows the first one (correlation {alike:.2f}); {SAME} is wanted, at least."
    if sharp > WORSE:
        yield f"Your clip is hardly worse: it has {sharp:.0%} of the sharpness, and at most {WORSE:.0%} is wanted."
    return (
        f"Warped error {before:.4f} before, {after:.4f} now, with {sharp:.0%} of the sharpness. It calls that better."
    )


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
        "unpaired": math.ceil(both**2 * unpaired),
        "level_only": math.ceil((1.96 * ratio) ** 2),
        "no_square": math.ceil(abs(both * ratio)),
        "no_square_below": math.ceil(both * ratio),
        "rounded_first": math.ceil(both * ratio) ** 2,
        "rounded_before_square": math.ceil(abs(both * ratio)) ** 2,
        "to_the_nearest": math.floor((both * ratio) ** 2),
        "not_rounded": (both * ratio) ** 2,
        "variance": math.ceil((both * ratio * d.std(ddof=1)) ** 2),
        "of_the_mean": math.ceil((both * ratio) ** 2 / len(d)),
        "brackets": math.ceil(((1.96 + 0.84 * d.std(ddof=1)) / d.mean()) ** 2),
        "mean_squared": math.ceil(abs(both * ratio / d.mean())),
        "ddof": math.ceil((both * d.std() / d.mean()) ** 2),
    }
    yield advice.number("videos_for", videos_for(a, b), wanted, mistakes)


def check_10_1(amdahl: Callable) -> Advice:
    """`amdahl(share, times)`: how many times faster the whole gets."""
    for share, times in ((0.8, 3.0), (0.5, 100.0), (0.25, 2.0)):
        left = (1 - share) + share / times
        mistakes = {
            "time_left": left,
            "no_rest": times / share,
            "part_alone": times,
            "vanished": 1 / (1 - share),
            "speeds": (1 - share) + share * times,
            "exchanged": 1 / (share + (1 - share) / times),
            "brackets": 1 / (1 - share) + share / times,
        }
        yield advice.number(f"amdahl({share:g}, {times:g})", amdahl(share, times), 1 / left, mistakes)


def check_10_2(attainable: Callable) -> Advice:
    """`attainable(intensity, peak, bandwidth)`: the roofline, in FLOP/s."""
    for intensity, peak, bandwidth in ((50.0, 100.0, 20.0), (0.5, 100.0, 20.0), (2.0, 100.0, 20.0)):
        slope = intensity * bandwidth
        why = "no layer is faster than the peak" if slope > peak else "with few FLOP for each byte, moving takes longer"
        mistakes = {
            f"That is the larger of the two, and {why}: take the smaller.": max(peak, slope),
            "divided": min(peak, bandwidth / intensity),
            "added": 1 / (1 / peak + 1 / slope),
        }
        given = attainable(intensity, peak, bandwidth)
        call = f"attainable({intensity:g}, {peak:g}, {bandwidth:g})"
        yield advice.number(call, given, min(peak, slope), mistakes)


def check_10_3(reuse: Callable) -> Advice:
    """`reuse(every, whole, last) -> predict(x_t, t)`: all layers in each every-th call, the last layer in between."""
    xs = advice.noises(*[(2, 3)] * 7)
    for every in (3, 1):
        predict = reuse(every, _whole, _last)
        yield advice.nothing("reuse", predict)
        if not callable(predict):
            yield f"reuse gave back a {type(predict).__name__}; a function is wanted: `return predict`."
        for k, x in enumerate(xs):
            full = k - k % every  # the last call that was due to compute all layers
            between, late = (_last(x, k, 100 * xs[j]) for j in (full, max(k - every, 0)))
            wanted, mistakes = (between, {"all": x + k}) if k % every else (x + k, {"late": late})
            mistakes |= {"first_deep": _last(x, k, 100 * xs[0]), "kept_noise": xs[full] + full}
            mistakes |= {"old_latents": _last(xs[full], k, 100 * xs[full])}
            try:
                given = predict(x, k)
            except UnboundLocalError:
                yield "nonlocal"
            if isinstance(given, tuple):
                yield "pair"
            yield advice.tensor(f"call {k + 1} of predict", given, wanted, mistakes)
    one, other = (reuse(3, _whole, _last) for _ in range(2))
    one(xs[0], 0)
    if not advice.close(other(xs[1], 1), xs[1] + 1):
        yield "shared"


def _whole(x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
    """A stand-in for all layers: noise, and deep features."""
    return x_t + t, 100 * x_t


def _last(x_t: Tensor, t: int, deep: Tensor) -> Tensor:
    """A stand-in for the last layer alone."""
    return x_t - t + deep


def check_11_1(verdict_of: Callable) -> Advice:
    """`verdict_of(a, b)` for uint8 videos: "same bits", "same within rounding" (2 grey levels), "another video"."""
    a = np.full((2, 3, 3, 3), 100, np.uint8)  # [f h w c]
    one_up, one_down, far, dark = a.copy(), a.copy(), a.copy(), a.copy()
    one_up[0], one_down[1], far[0, 1, 2, 0], dark[1, 0, 0, 2] = 101, 99, 160, 40
    black, white = np.zeros_like(a), np.full_like(a, 255)
    cases = (  # two videos, the verdict, and the advice on another one
        (a, a.copy(), "same bits", "equal"),
        (a, far, "another video", "far"),
        (a, one_down, "same within rounding", "down"),
        (a, one_up, "same within rounding", "up"),
        (a, a + np.uint8(2), "same within rounding", "two"),
        (a, a + np.uint8(3), "another video", "three"),
        (a, dark, "another video", "dark"),
        (black, white, "another video", "eight_bits"),
    )
    for a, b, wanted, name in cases:
        given = verdict_of(a, b)
        yield advice.nothing("verdict_of", given)
        if given not in {case[2] for case in cases}:
            yield f"verdict_of gave {shown(given)}; one of the three sentences is wanted, letter for letter."
        if given != wanted:
            yield f"{advice.TEXTS['11_1'][name]} You say {shown(given)}."


def check_11_2(start_of: Callable) -> Advice:
    """`start_of(k, shape) -> Tensor`: the k-th draw, k from 1, of one generator that is seeded once with 1234."""
    drawn = 0  # by all calls so far: where a generator that is not made anew stands
    for shape in ((1, 4, 2, 4, 4), (1, 3, 1, 5, 5)):  # [b c f h w]
        for k in (3, 1, 6):
            draws, drawn = advice.noises(*[shape] * (k + 1), seed=1234), drawn + k
            mistakes = {
                "first": draws[0],
                "one_too_many": draws[k],
                "from_1234": advice.noises(shape, seed=1234 + k - 1)[0],
                "from_1235": advice.noises(shape, seed=1234 + k)[0],
                "one_long_draw": advice.noises((k, *shape), seed=1234)[0][-1],
                "went_on": advice.noises(*[shape] * drawn, seed=1234)[-1],
            }
            before = torch.get_rng_state()
            yield advice.tensor(f"start_of({k}, shape)", start_of(k, shape), draws[k - 1], mistakes)
            if not torch.equal(before, torch.get_rng_state()):
                torch.set_rng_state(before)
                yield "global"


def check_11_3(still: Callable) -> Advice:
    """`still(grey [f h w]) -> [h w-1]`: the median over time of the change from each pixel to its right neighbour."""
    grey = advice.noises((3, 5, 5))[0].repeat(3, 1, 1) * 20 + 128  # [9 h w]
    grey = grey + advice.noises((9, 5, 5), seed=1)[0] * 9
    change = grey.diff(dim=2)  # [f h w-1]
    wanted = change.median(dim=0).values
    mistakes = {
        "mean": change.mean(dim=0),
        "median_first": grey.median(dim=0).values.diff(dim=1),
        "no_signs": change.abs().median(dim=0).values,
        "turned": -wanted,
    }
    given = still(grey.numpy())
    given = torch.from_numpy(given) if isinstance(given, np.ndarray) else given
    shape = tuple(given.shape) if isinstance(given, Tensor) else None
    if shape == (grey.shape[1] - 1, grey.shape[2]):
        yield "That is the change from row to row. Letters have upright strokes: go along the last axis, w."
    if shape == (grey.shape[0] - 1, *grey.shape[1:]):
        yield "That is the change from frame to frame. What stands still has none: go along the last axis, w."
    yield advice.tensor("still", given, wanted, mistakes)


def check_12_1(first_apart: Callable) -> Advice:
    """`first_apart(right, wrong)`: the name of the first stage that differs; rounding is none, NaN and shapes are."""
    text, latents = advice.noises((2, 3), (1, 4, 2))
    right = {"text": 5 * text, "latents": latents, "pixels": torch.tensor([[0, 9], [200, 255]], dtype=torch.uint8)}
    two = right | {"text": 5 * text + 1, "latents": latents + 1}
    given = first_apart(right, two)
    if advice.is_missing(given):
        yield "first_apart gave back nothing for two runs that differ. Go through the stages, and `return` a name."
    if given == "latents":
        yield "Text and latents differ, and you named the latents: stop at the *first* difference."
    if given != "text":
        yield f"first_apart gave {shown(given)} where 'text' is right: give the name of the stage."
    signed = text + torch.tensor([1.0, 0.0, -1.0])
    nan = latents.clone()
    nan[0, 0, 0] = torch.nan
    dark = torch.tensor([[1, 9], [200, 254]], dtype=torch.uint8)
    trials = (
        (right, None, "two equal runs: return None, or nothing, for them"),
        (right | {"text": 5 * text + 1e-4}, None, "rounding alone: allow a thousandth of the largest value"),
        (right | {"text": 5 * signed}, "text", "differences of both signs: a sum cancels, take the largest *size*"),
        (right | {"latents": latents + 0.02}, "latents", "a small difference: allow 1e-3 of the *largest* value"),
        (right | {"text": 5 * text[None]}, "text", "another shape: compare the shapes before the values"),
        (right | {"latents": nan}, "latents", "a NaN: no comparison with it is true, so ask isnan first"),
        (right | {"pixels": dark}, "pixels", "uint8, where 0 - 1 is 255, or 1e-3 of 255: convert to float first"),
    )
    for wrong, wanted, what in trials:
        given = first_apart(right, wrong)
        yield None if given == wanted else f"first_apart gave {shown(given)} where {wanted!r} is right, for {what}."


def check_12_2(answers: Mapping[int, str]) -> Advice:
    """`answers`: number of the video -> cause. The order is drawn as in the notebook."""
    if not isinstance(answers, Mapping):
        yield f"answers is a {type(answers).__name__}; a dict is wanted: {{1: 'BGR', 2: ...}}."
    causes = sorted(HINTS)
    truth = {k + 1: causes[i] for k, i in enumerate(np.random.default_rng(12).permutation(len(causes)))}
    given = {k: name for k, name in answers.items() if not advice.is_missing(name)}
    if not given:
        yield "No answer yet. Begin with the video whose cause you are surest of, and leave the others out."
    for k, name in given.items():
        if k not in truth:
            yield f"There is no video {shown(k)}: the numbers are 1 to {len(truth)}."
        if name not in causes:
            near = get_close_matches(shown(name).strip("'"), causes, n=1)
            guess = f"did you mean {near[0]!r}?" if near else "copy its name."
            yield f"{shown(name)} is no cause in the box: {guess}"
    right = [k for k, name in given.items() if truth[k] == name]
    for k in sorted(given.keys() - right):
        yield f"{len(right)} of {len(truth)} are right. Video {k} is not {shown(given[k])}. {HINTS[truth[k]]}"
    if missing := sorted(truth.keys() - given):
        hint = f"Video {missing[0]}: {HINTS[truth[missing[0]]]}"
        yield f"{len(right)} of {len(truth)} are right, and none is wrong. {hint}"
    return "All ten. What helped most: the facts of the file, then brightness, then whether the frames hold together."


def check_12_3(refuse: Callable) -> Advice:
    """`refuse(frames)`: None for a uint8 [f h w 3] of two frames or more that are not constant, else a sentence."""
    good = (np.arange(2 * 8 * 6 * 3) % 251).astype(np.uint8).reshape(2, 8, 6, 3)  # [f h w c]
    unit = (good / 255).astype(np.float32)
    fade = good.copy()
    fade[0] = 0
    for what, frames in {"A good video": good, "A good video that begins with a black frame": fade}.items():
        if not advice.is_missing(said := refuse(frames)):
            yield f"{what} was refused ({shown(said)}): give back None for it."
    trials = {
        "floats from 0 to 1": unit,
        "floats from -1 to 1": 2 * unit - 1,
        "floats with a NaN": np.where(unit > 0.5, np.nan, unit),
        "int64, whose range nobody knows": good.astype(np.int64) * 2,
        "a single picture [h w 3]": good[0],
        "axes [f 3 h w]": good.transpose(0, 3, 1, 2),
        "four channels": np.concatenate([good, good[..., :1]], axis=-1),
        "one frame": good[:1],
        "a black video": np.zeros_like(good),
        "a grey video": np.full_like(good, 128),
    }
    if all(advice.is_missing(refuse(frames)) for frames in trials.values()):
        yield "It lets everything through. Look at dtype, shape and values, and `return` a sentence for each fault."
    for what, frames in trials.items():
        said = refuse(frames)
        if advice.is_missing(said):
            yield f"It lets this through: {what}, {frames.dtype} {list(frames.shape)}."
        if not isinstance(said, str) or len(said.split()) < 3:
            yield f"For {what} it gave {shown(said)}; a sentence that says what is wrong is wanted."
