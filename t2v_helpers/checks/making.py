"""The checks of notebooks 00 to 03: making a video."""

from collections.abc import Callable, Sequence
from numbers import Integral

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from t2v_helpers import cartoon
from t2v_helpers.checks import advice
from t2v_helpers.checks.advice import Advice
from t2v_helpers.core import layout
from t2v_helpers.core.checking import shown
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion.noise import alphas_cumprod
from t2v_helpers.inside import unet


def check_00_1(spec: GenerationSpec) -> Advice:
    """A spec for a cat that spins by a lake, as a pencil sketch, with seed 7 and 10 steps, in any wording."""
    if advice.is_missing(spec):
        yield "Put a GenerationSpec(...) in place of the three dots."
    if not isinstance(spec, GenerationSpec):
        yield f"This has the type {type(spec).__name__}. Wrap it: GenerationSpec(prompt=..., seed=...)."
    try:
        asked = cartoon.parse(spec.prompt)
    except ValueError as error:
        yield f"The prompt is not understood: {error}"
    for field, wanted in (("subject", "cat"), ("action", "spinning"), ("place", "lake"), ("style", "pencil sketch")):
        if (given := getattr(asked, field)) != wanted:
            yield f"The prompt asks for the {field} {shown(given)}; {wanted!r} is wanted."
    for field, wanted in (("seed", 7), ("steps", 10)):
        if (given := getattr(spec, field)) != wanted:
            yield f"The prompt is right, but {field} is {given}; {wanted} is wanted."


def check_00_2(motion: Callable) -> Advice:
    """`motion(frames uint8 [f h w c]) -> [f-1]`: the mean absolute difference of neighbouring frames, 0 to 255."""
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)  # [f h w c]; no two pixels alike
    given = motion(frames)
    yield advice.nothing("motion", given)
    given = np.asarray(given, dtype=float)
    if given.shape != (len(frames) - 1,):
        yield f"{len(frames)} frames have {len(frames) - 1} pairs of neighbours; the shape is {given.shape}."
    whole = frames.astype(int)  # [f h w c]
    change = np.diff(whole, axis=0)  # [f-1 h w c]
    size = np.abs(change)
    mistakes = {
        "wraps": _each_mean(np.diff(frames, axis=0)),
        "first": _each_mean(np.abs(whole[1:] - whole[0])),
        "cancels": _each_mean(change),
        "turned": _each_mean(-change),
        "brightness": np.abs(_each_mean(change)),
        "summed": size.sum(axis=(1, 2, 3)),
        "largest": size.max(axis=(1, 2, 3)),
        "one_channel": size[..., 0].mean(axis=(1, 2)),
        "one_pixel": size[:, 0, 0, 0],
    }
    if not np.allclose(given, _each_mean(size)):
        yield advice.fitting(given, mistakes)


def _each_mean(changes: np.ndarray) -> np.ndarray:
    return changes.mean(axis=(1, 2, 3))  # [f-1]


def check_00_3(prompt: str) -> Advice:
    """A sentence of the cartoon world whose subject, action and place were held out; not the notebook's own."""
    if advice.is_missing(prompt):
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


def check_01_1(as_sequences: Callable) -> Advice:
    """`as_sequences(x [(b f) c h w], batch) -> [(b h w) f c]`: each pixel of each video, a sequence of frames."""
    x = torch.arange(2 * 3 * 4 * 2 * 5.0).reshape(6, 4, 2, 5)  # [(b f) c h w]
    wanted = layout.unfold_frames(x, 2).permute(0, 3, 4, 2, 1).flatten(0, 2)  # [(b h w) f c]
    mistakes = {
        "reshaped": x.reshape(20, 3, 4),
        "batch_second": x.unflatten(0, (3, 2)).permute(1, 3, 4, 0, 2).flatten(0, 2),
        "batch_last": layout.unfold_frames(x, 2).permute(3, 4, 0, 2, 1).flatten(0, 2),
        "columns": layout.unfold_frames(x, 2).permute(0, 4, 3, 2, 1).flatten(0, 2),
    }
    yield advice.tensor("as_sequences", as_sequences(x, 2), wanted, mistakes)


def check_01_2(temporal_conv: Callable) -> Advice:
    """`temporal_conv(x [b c f h w], weight [out c 3 1 1], bias [out])`: compared with a Conv3d of kernel (3, 1, 1)."""
    x, weight, bias = advice.noises((2, 4, 5, 3, 2), (6, 4, 3, 1, 1), (6,))
    wanted = F.conv3d(x, weight, bias, padding=(1, 0, 0))  # [b out f h w]
    wide = [torch.cat([x[:, :, a], x, x[:, :, b]], dim=2) for a, b in (([-1], [0]), ([0], [-1]))]  # [b c f+2 h w]
    circle, copies = (F.conv3d(longer, weight, bias) for longer in wide)
    mistakes = {
        "alone": F.conv3d(x, weight[:, :, 1:2], bias),
        "swapped": F.conv3d(x, weight.flip(2), bias, padding=(1, 0, 0)),
        "circle": circle,
        "copies": copies,
        "no_after": F.conv3d(F.pad(x, (0, 0, 0, 0, 1, 0)), weight[:, :, :2], bias),
        "no_before": F.conv3d(F.pad(x, (0, 0, 0, 0, 0, 1)), weight[:, :, 1:], bias),
    }
    given = temporal_conv(x, weight, bias)
    right = isinstance(given, Tensor) and given.shape == wanted.shape and advice.close(given[:, :, 0], wanted[:, :, 0])
    otherwise = (
        f"Frame 0 is {'right' if right else 'wrong already'}: it is here @ x[:, :, 0] + after @ x[:, :, 1] + bias. "
        "The frames between have three terms, and the bias."
    )
    yield advice.tensor("temporal_conv", given, wanted, mistakes, otherwise)


def check_01_3(with_positions: Callable) -> Advice:
    """`with_positions(x [n f c])`: x and, to each frame, cosines and sines of its number, the same for all n pixels."""
    (x,) = advice.noises((7, 1, 8))  # [(b h w) f c]; one frame, so that a wrong axis gives a shape and no error
    if getattr(with_positions(x), "shape", None) in ((7, 7, 8), (7, 8, 8)):
        yield "axis"
    (x,) = advice.noises((7, 5, 8))
    code = unet.sinusoidal(torch.arange(7), 8)  # [7 c]
    wanted = x + code[:5]
    mistakes = {
        "pixels": x + code[:, None],
        "sines_first": x + code[:5].roll(4, dims=1),
        "from_one": x + code[1:6],
        "code_alone": code[:5].expand(7, 5, 8),
    }
    numbers = ", ".join(f"{number:.2f}" for number in code[1])
    otherwise = f"With 8 channels, with_positions(x) - x should hold {numbers} for frame 1, whatever the pixel."
    yield advice.tensor("with_positions", with_positions(x), wanted, mistakes, otherwise)


def check_02_1(half_way: Callable) -> Advice:
    """`half_way(alphas_cumprod [1000]) -> int`: the first timestep where the noise is stronger than the signal.

    Tried on the published schedule and on two slower ones, so that a remembered number does not pass; in one of them
    the timestep nearest to 0.5 lies above it.
    """
    for betas in ((0.0004, 0.006), (0.0005, 0.009), (0.00085, 0.012)):
        abar = alphas_cumprod(*betas)
        given = advice.plain(half_way(abar))
        yield advice.kind("half_way", given, Integral, "one timestep, an int,")
        if given != (wanted := int((abar < 0.5).nonzero()[0])):
            yield _half_way_advice(given, wanted, abar)
    return f"On the published schedule noise overtakes the signal at {given} of 1000, long before the middle."


def _half_way_advice(given: int, wanted: int, abar: Tensor) -> str:
    if given == len(abar) // 2:
        return "Half of the timesteps is not half of the signal: look for the place in alphas_cumprod."
    if given == int((abar.sqrt() < 0.5).nonzero()[0]):
        return "You ask for sqrt(abar) < 0.5. Compare the two factors, sqrt(abar) with sqrt(1 - abar)."
    if given == wanted - 1:
        return "One too early: there the signal is still the stronger one."
    if not 0 <= given < len(abar):
        return f"There is no timestep {given}: they go from 0 to {len(abar) - 1}."
    return (
        f"On another schedule (the check tries three) timestep {given} has abar {abar[given].item():.3f}; you want the "
        "first one below 0.5, computed from the argument."
    )


def _sigma(abar_t: Tensor, abar_prev: Tensor, eta: float) -> Tensor:
    return eta * ((1 - abar_prev) / (1 - abar_t) * (1 - abar_t / abar_prev)).sqrt()  # DDIM, equation 16


def ddim_step_eta(x_t: Tensor, eps: Tensor, abar_t: Tensor, abar_prev: Tensor, eta: float, z: Tensor) -> Tensor:
    """One DDIM step with fresh noise z, all [b c f h w]: Song et al. (2020), equations 12 and 16."""
    return _step_with(_sigma(abar_t, abar_prev, eta), x_t, eps, abar_t, abar_prev, z)


def _step_with(sigma: Tensor, x_t: Tensor, eps: Tensor, abar_t: Tensor, abar_prev: Tensor, z: Tensor) -> Tensor:
    x_0 = (x_t - (1 - abar_t).sqrt() * eps) / abar_t.sqrt()  # [b c f h w]
    return abar_prev.sqrt() * x_0 + (1 - abar_prev - sigma**2).sqrt() * eps + sigma * z


def check_02_2(step: Callable) -> Advice:
    """`step(x_t, eps, abar_t, abar_prev, eta, z)`: tried at eta 0, 0.5 and 1 against equations 12 and 16."""
    x_t, eps, z = advice.noises(*[advice.VIDEO] * 3)
    abar = alphas_cumprod(0.00085, 0.012)
    start = x_t, eps, abar[601], abar[561]
    still = ddim_step_eta(*start, 0.0, z)
    yield advice.tensor("ddim_step_eta", step(*start, 0.0, z), still, {}, "start")
    for eta in (0.5, 1.0):
        sigma = _sigma(abar[601], abar[561], eta)
        wanted = ddim_step_eta(*start, eta, z)
        mistakes = {
            "no_root": _step_with(sigma**2 / eta, *start, z),
            "eta_under_the_root": _step_with(sigma / eta**0.5, *start, z),
            "no_square": wanted + ((1 - abar[561] - sigma).sqrt() - (1 - abar[561] - sigma**2).sqrt()) * eps,
            "no_eta": still,
            "direction_kept": still + sigma * z,
            "no_noise": wanted - sigma * z,
            "eps_again": ddim_step_eta(*start, eta, eps),
        }
        otherwise = (
            f"Right at eta = 0, wrong at eta = {eta}. In equation 16 sigma is a root, with eta outside; under the root "
            "in front of eps it is squared."
        )
        yield advice.tensor("ddim_step_eta", step(*start, eta, z), wanted, mistakes, otherwise)


def rescaled(x_0_cond: Tensor, x_0_guided: Tensor, phi: float) -> Tensor:
    """A guided estimate [b c f h w] brought back to the spread of x_0_cond: Lin et al. (2024), section 3.4."""
    return phi * x_0_guided * _spread(x_0_cond) / _spread(x_0_guided) + (1 - phi) * x_0_guided


def _spread(x: Tensor) -> Tensor:
    return x.std(list(range(1, x.ndim)), keepdim=True)  # [b 1 1 1 1]


def check_02_3(answer: Callable) -> Advice:
    """`rescaled(x_0_cond, x_0_guided, phi)`: each sample's own spread, mixed by phi (Lin et al. 2024, section 3.4)."""
    shape = (*advice.VIDEO[:-1], advice.VIDEO[0])  # as wide as the batch: without keepdim it is wrong, but no error
    x_0_cond, change = advice.noises(shape, shape)
    change[1] *= 3  # the two samples of the batch differ in spread
    x_0_guided = x_0_cond + 6 * change
    whole = x_0_guided * x_0_cond.std() / x_0_guided.std()  # [b c f h w]
    mistakes = {
        "phi_turned": rescaled(x_0_cond, x_0_guided, 0.3),
        "one_spread": 0.7 * whole + 0.3 * x_0_guided,
        "no_phi": rescaled(x_0_cond, x_0_guided, 1.0),
        "no_keepdim": 0.7 * x_0_guided * (_spread(x_0_cond) / _spread(x_0_guided)).flatten() + 0.3 * x_0_guided,
        "rest_is_cond": rescaled(x_0_cond, x_0_guided, 0.7) + 0.3 * (x_0_cond - x_0_guided),
    }
    wanted = rescaled(x_0_cond, x_0_guided, 0.7)
    yield advice.tensor("rescaled", answer(x_0_cond, x_0_guided, 0.7), wanted, mistakes)


def check_03_1(steps_for: Callable) -> Advice:
    """`steps_for(name, calls) -> int`: the most steps of "ddim", "dpm++", "heun" or "pndm" for at most that many calls.

    Heun calls the network twice a step and once in the last; pndm calls it once more than it has steps.
    """
    calls_of = {"ddim": lambda n: n, "dpm++": lambda n: n, "heun": lambda n: 2 * n - 1, "pndm": lambda n: n + 1}
    for name, calls in ((name, calls) for calls in (10, 25, 50) for name in calls_of):
        given = steps_for(name, calls)
        yield advice.kind("steps_for", given, Integral, "a number of steps, an int,")
        what = f"{name} in {given} steps calls the network {calls_of[name](given)} times"
        if calls_of[name](given) > calls:
            yield f"{what}, but only {calls} calls are paid for."
        if calls_of[name](given + 1) <= calls:
            cost = "How many calls does each step cost? (pndm pays twice for its first.)"
            cost = "What does its last step cost?" if name == "heun" else cost
            yield f"{what}, so {calls} calls pay for one step more. {cost}"


def check_03_2(heun_step: Callable) -> Advice:
    """`heun_step(slope, x, sigma_t, sigma_s)`: Karras et al. 2022, algorithm 1, without churn; slope(x, sigma).

    Tried on a slope of which every answer is known, and to sigma_s = 0, where it must not be asked.
    """
    (x,), asked = advice.noises(advice.VIDEO), []

    def slope(at: Tensor, sigma: float) -> Tensor:
        asked.append(sigma)
        return sigma * at / (0.25 + sigma**2) if sigma > 0 else at * float("nan")

    for t, s in ((8.0, 5.0), (2.0, 0.5)):
        here = slope(x, t)
        ahead = x + (s - t) * here
        there = slope(ahead, s)
        mistakes = {
            "euler": ahead,
            "from_the_end": ahead + (s - t) * (here + there) / 2,
            "added": x + (s - t) * (here + there),
            "end_alone": x + (s - t) * there,
            "looks_at_x": x + (s - t) * (here + slope(x, s)) / 2,
            "midpoint": x + (s - t) * slope(x + (s - t) / 2 * here, (t + s) / 2),
        }
        wanted = x + (s - t) * (here + there) / 2
        yield advice.tensor("heun_step", heun_step(slope, x, t, s), wanted, mistakes)
    asked.clear()
    end, wanted = heun_step(slope, x, 0.5, 0.0), x - 0.5 * slope(x, 0.5)
    if 0.0 in asked:
        yield "You ask for the slope at sigma = 0, where no noise is left to see: Euler's step is all."
    yield advice.tensor("heun_step", end, wanted, {}, "To sigma_s = 0 it should be Euler's step.")


def check_03_3(order_of: Callable) -> Advice:
    """`order_of(calls, errors) -> float`: the slope of the line of least squares through the log-log plot, positive."""
    calls, errors = [8, 16, 32, 64], [0.4, 0.11, 0.021, 0.006]
    given = order_of(calls, errors)
    yield advice.nothing("order_of", given)
    if np.ndim(given) != 0:
        yield "order_of gave back several numbers. np.polyfit gives [slope, intercept]: take the slope alone."
    wanted = -_slope(np.log(calls), np.log(errors))
    mistakes = {
        "sign": -wanted,
        "plain": -_slope(calls, errors),
        "plain_and_sign": _slope(calls, errors),
        "errors_alone": -_slope(calls, np.log(errors)),
        "exchanged": -_slope(np.log(errors), np.log(calls)),
        "two_points": np.log(errors[0] / errors[-1]) / np.log(calls[-1] / calls[0]),
    }
    yield advice.number("order_of", float(given), wanted, mistakes, "otherwise")


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.polyfit(x, y, 1)[0])
