"""The checks of notebook 05: what do the knobs cost, and what do they give?"""

from collections.abc import Callable

import numpy as np

from t2v_helpers.checks.advice import Advice, fitting, is_missing, nothing_from, number_advice
from t2v_helpers.metrics.estimates import Measure


def check_05_1(video_flops: Callable) -> Advice:
    """`video_flops(steps, guidance, frames, unet, vae)`: unet for a guided step of all frames, vae for one frame."""
    for steps, guidance, frames in ((25, 9.0, 16), (10, 1.0, 4), (10, 2.0, 4)):
        unet, vae = 7.0 * frames, 3.0
        half = 0.5 if guidance == 1 else 1.0
        wanted = steps * half * unet + frames * vae
        mistakes = {
            "The VAE decodes every frame, not one.": steps * half * unet + vae,
            "The VAE decodes once, after the last step: do not pay for it in every step.":
                steps * (half * unet + frames * vae),
            "The decoder is missing: every frame of the video has to be decoded.": steps * half * unet,
            "The trace's step holds all the frames already: do not multiply the UNet by frames.":
                steps * half * unet * frames + frames * vae,
            "The trace's step holds both halves of guidance already: do not double it.":
                2 * steps * half * unet + frames * vae,
        }  # fmt: skip
        if guidance > 1:
            both = f"At {guidance:g} both halves are needed. Only at guidance 1 is one left out."
            mistakes |= {both: steps * unet / 2 + frames * vae}
        if guidance == 1:  # where both halves are paid, that is the mistake, and not that the price was doubled
            alone = "At guidance 1 the half without the prompt has no say, and is not computed: half a step."
            mistakes = {alone: steps * unet + frames * vae} | mistakes
            decoder_too = "Guidance halves the UNet alone: the decoder works as ever."
            mistakes |= {decoder_too: (steps * unet + frames * vae) / 2}
        yield number_advice("video_flops", video_flops(steps, guidance, frames, unet, vae), wanted, mistakes)
    return "Steps multiply the UNet alone. That is why few steps make the decoder worth a look."


def check_05_2(attention_flops: Callable) -> Advice:
    """`attention_flops(frames, pixels, channels) -> (temporal, spatial)`: scores and sums, of one layer each."""
    for f, n, c in ((16, 64, 8), (5, 9, 4)):
        temporal, spatial = 4 * n * f * f * c, 4 * f * n * n * c
        mistakes = {
            "The two are swapped: temporal attention lets the frames of one pixel look at one another.":
                (spatial, temporal),
            "Half is missing. Scores and the sums that they weigh count, and a multiplication and an addition are two.":
                (temporal / 2, spatial / 2),
            "Temporal attention runs for every pixel, spatial attention for every frame.":
                (4 * f * f * c, 4 * n * n * c),
            "Everybody looks at everybody in their sequence: its length counts squared.":
                (4 * n * f * c, 4 * f * n * c),
        }  # fmt: skip
        given = attention_flops(f, n, c)
        if is_missing(given):
            yield nothing_from("attention_flops", given) + " Two numbers are wanted: temporal, spatial."
        if np.shape(given) != (2,):
            yield f"attention_flops gave {given!r}; two numbers are wanted: `return temporal, spatial`."
        if not np.allclose([*map(float, given)], (temporal, spatial)):
            otherwise = "One sequence of n vectors of c numbers: 2 n n c for the scores, and as many for the sums."
            yield fitting([*given], mistakes, otherwise)
    return "Frames count squared in time, pixels squared in space. Twice the height is four times the pixels."


def check_05_3(first_enough: Callable) -> Advice:
    """`first_enough(values, measures)`: the first value whose interval overlaps that of the highest measure."""
    values = (10, 20, 40, 80, 160, 320, 640)
    spans = ((1, 4), (3.5, 6.5), (4.5, 7.2), (4.2, 7.8), (7.4, 8.5), (6.2, 9.2), (7, 9))
    measured = _measures(*(((low + high) / 2, low, high) for low, high in spans))  # 10 is below the highest, 320
    measured[5] = Measure(8.2, 6.2, 9.2, 32)
    mistakes = {
        "That is the best value itself. A cheaper one may not be told from it.": 320,
        "You compare with a *value*. It is enough that the two intervals overlap: compare their ends.": 160,
        "The best is the one with the largest `.value`, not the one with the largest `.low`.": 80,
        "You compare with the last value. The best one is the highest, wherever it stands.": 40,
        "That is the last one that overlaps; the first is wanted, since it is the cheapest.": 640,
        "Its interval ends before the best one's begins. Compare each with the best one, not with its neighbour.": 10,
        "That is a place in the list. Give back the entry of values that stands there.": 1,
    }
    yield number_advice("first_enough", first_enough(values, measured), 20, mistakes)
    peaked = _measures((0.5, 0.4, 0.6), (0.9, 0.8, 1.0), (0.2, 0.1, 0.3))
    if advice := number_advice("first_enough", first_enough((1, 2, 4), peaked), 2, {}):
        yield f"Where the middle is the highest: {advice}"
    touching = _measures((0.3, 0.2, 0.4), (0.7, 0.4, 0.9))
    yield number_advice("first_enough", first_enough((1, 2), touching), 1, {"Intervals that touch overlap.": 2})
    wide = _measures((0.3, 0.2, 0.35), (0.5, 0.1, 1.0), (0.7, 0.4, 0.9))
    mistakes = {"The best is the one with the largest `.value`, not the one with the largest `.high`.": 10}
    yield number_advice("first_enough", first_enough((10, 20, 40), wide), 20, mistakes)
    return "It does not say that both are equal: only that these seeds cannot tell them apart."


def _measures(*triples: tuple[float, float, float]) -> list[Measure]:
    """Measures of 32 videos, from value, low and high."""
    return [Measure(*triple, 32) for triple in triples]
