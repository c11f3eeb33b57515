"""The checks of notebook 00: can I make a video from words, now?"""

from collections.abc import Callable

import numpy as np

from t2v_helpers import cartoon
from t2v_helpers.checks.advice import Advice, fitting, is_missing, nothing_from
from t2v_helpers.core.records import GenerationSpec

SKETCH = cartoon.Labels("cat", "spinning", "lake", "pencil sketch")


def check_00_1(spec: GenerationSpec) -> Advice:
    """A spec for a cat that spins by a lake, as a pencil sketch, with seed 7 and 10 steps, in any wording."""
    if is_missing(spec):
        yield "Put a GenerationSpec(...) in place of the three dots."
    if not isinstance(spec, GenerationSpec):
        yield f"This has the type {type(spec).__name__}. Wrap it: GenerationSpec(prompt=..., seed=...)."
    try:
        asked = cartoon.parse(spec.prompt)
    except ValueError as error:
        yield f"The prompt is not understood: {error}"
    for field in ("subject", "action", "place", "style"):
        if (given := getattr(asked, field)) != (wanted := getattr(SKETCH, field)):
            yield f"The prompt asks for the {field} {given!r}; {wanted!r} is wanted."
    for field, wanted in (("seed", 7), ("steps", 10)):
        if (given := getattr(spec, field)) != wanted:
            yield f"The prompt is right, but {field} is {given}; {wanted} is wanted."
    return "Show it: show_video(generate(pipe, sketch))."


def check_00_2(motion: Callable) -> Advice:
    """`motion(frames uint8 [f h w c]) -> [f-1]`: the mean absolute difference of neighbouring frames, 0 to 255."""
    levels = np.array([250, 20, 30, 30, 210], np.uint8)  # they fall and rise
    frames = np.broadcast_to(levels[:, None, None, None], (5, 4, 6, 3)).copy()  # [f h w c]
    given = motion(frames)
    yield nothing_from("motion", given)
    given = np.asarray(given, dtype=float)
    if given.shape != (len(frames) - 1,):
        yield f"{len(frames)} frames have {len(frames) - 1} pairs of neighbours; the shape is {given.shape}."
    wanted = _mean_change(frames[1:].astype(int) - frames[:-1])
    if not np.allclose(given, wanted):
        yield _motion_advice(given, frames)
    return "A frozen video has no motion. Try motion(first.frames): between which frames does most move?"


def _mean_change(difference: np.ndarray) -> np.ndarray:
    return np.abs(difference).mean(axis=(1, 2, 3))  # [f-1]


def _motion_advice(given: np.ndarray, frames: np.ndarray) -> str:
    whole = frames.astype(int)  # [f h w c]
    mistakes = {
        "uint8 has no numbers below 0: 20 - 250 becomes 26. Change to int before you subtract.":
            _mean_change(frames[1:] - frames[:-1]),
        "Up and down cancel each other: take the absolute value before the mean.":
            (whole[1:] - whole[:-1]).mean(axis=(1, 2, 3)),
        "Up and down cancel each other: take the absolute value before the mean. (It is the later minus the earlier.)":
            (whole[:-1] - whole[1:]).mean(axis=(1, 2, 3)),
        "That is the sum over all pixels; the mean is wanted.":
            np.abs(whole[1:] - whole[:-1]).sum(axis=(1, 2, 3)),
        "You compare each frame with the first one. Compare it with the frame before it.":
            _mean_change(whole[1:] - whole[0]),
    }  # fmt: skip
    otherwise = "From a frame that is 30 everywhere to one that is 210 everywhere, the motion should be 180."
    return fitting(given, mistakes, otherwise)


def check_00_3(prompt: str) -> Advice:
    """A sentence of the cartoon world whose subject, action and place were held out; not the notebook's own."""
    if is_missing(prompt):
        yield "Put a sentence in place of the three dots."
    if not isinstance(prompt, str):
        yield f"This has the type {type(prompt).__name__}; a sentence, in quotation marks, is wanted."
    try:
        asked = cartoon.parse(prompt)
    except ValueError as error:
        yield f"The model would not understand it: {error}"
    what = f"{asked.subject}, {asked.action}, {asked.place}"
    if not cartoon.is_held_out(asked):
        yield f"Training did show this one ({what}). Look into cartoon.HELD_OUT."
    if (asked.subject, asked.action, asked.place) == cartoon.HELD_OUT[0]:
        yield "That is the robot in Times Square. Find another one in cartoon.HELD_OUT."
    return f"Never shown: {what}. Now make the video: show_video(generate(pipe, replace(robot, prompt=unseen)))."
