"""Checks of the exercises: `check_NN_k(answer)` says what is wrong with an answer, not only that it is.

Each check gives back a `Verdict`, which a notebook shows as the last line of a cell. A stub raises nothing, so that
"Run All" goes past an exercise that nobody has done yet; an error inside of an answer is shown as Python shows it.
`if verdict:` is true for a right answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2v_helpers import cartoon, layout, tracing, unet
from t2v_helpers.measures import Measure
from t2v_helpers.noise import alphas_cumprod
from t2v_helpers.records import GenerationSpec


@dataclass(frozen=True)
class Verdict:
    """What a check found: `ok`, and one or two sentences for the learner."""

    ok: bool
    word: str

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return ("Right. " if self.ok else "Not yet. ") + self.word


def right(word: str) -> Verdict:
    """A verdict for a right answer."""
    return Verdict(True, word)


def not_yet(word: str) -> Verdict:
    """A verdict for an answer that is missing or wrong."""
    return Verdict(False, word)


def is_missing(value: object) -> bool:
    """Whether `value` is what a stub leaves behind: None or `...`."""
    return value is None or value is ...


def nothing_from(name: str) -> str:
    """The advice to somebody whose function gave nothing back."""
    return f"{name} gave back nothing. Write its body, and end it with `return`."


def tensor_advice(name: str, given: object, wanted: Tensor, mistakes: dict[str, Tensor], otherwise: str) -> str | None:
    """None where `given` equals `wanted`; else the advice that fits best.

    mistakes maps advice to the tensor [same shape as wanted] that this mistake leads to.
    """
    if is_missing(given):
        return nothing_from(name)
    if not isinstance(given, Tensor):
        return f"{name} gave back a {type(given).__name__}; a tensor of shape {list(wanted.shape)} is wanted."
    if given.shape != wanted.shape:
        return f"{name} gave back the shape {list(given.shape)}; {list(wanted.shape)} is wanted."
    if not given.isfinite().all():
        return f"{name} gave back NaN or infinity. Is there the root of a number below 0? Are two arguments exchanged?"
    if _close(given, wanted):
        return None
    return next((advice for advice, wrong in mistakes.items() if _close(given, wrong)), otherwise)


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def _noise(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 4, 3, 5, 5, generator=generator) for _ in range(count)]  # each [b c f h w]


# --- 01: what is inside a text-to-video model? ---


def check_01_1(as_sequences: Callable) -> Verdict:
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
    if advice := tensor_advice("as_sequences", as_sequences(x, 2), wanted, mistakes, otherwise):
        return not_yet(advice)
    return right("Each row is one pixel in all its frames: that is all that temporal attention ever sees.")


def check_01_2(temporal_conv: Callable) -> Verdict:
    """`temporal_conv(x [b c f h w], weight [out c 3 1 1], bias [out])`: held against a Conv3d of kernel (3, 1, 1)."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(s, generator=generator) for s in ((2, 4, 5, 3, 2), (6, 4, 3, 1, 1), (6,)))
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
    otherwise = (
        "Frame 0 is wrong already" if _wrong_at(temporal_conv(x, weight, bias), wanted, 0) else "Frame 0 is right"
    )
    otherwise += (
        ": it is here @ x[:, :, 0] + after @ x[:, :, 1] + bias. The frames between have three terms, and the bias."
    )
    if advice := tensor_advice("temporal_conv", temporal_conv(x, weight, bias), wanted, mistakes, otherwise):
        return not_yet(advice)
    return right("Three matrices, one for each neighbour: a Conv3d of kernel (3, 1, 1) does no more than this.")


def _wrong_at(given: object, wanted: Tensor, frame: int) -> bool:
    same = isinstance(given, Tensor) and given.shape == wanted.shape
    return not (same and _close(given[:, :, frame], wanted[:, :, frame]))


def check_01_3(with_positions: Callable) -> Verdict:
    """`with_positions(x [n f c])`: x and, to each frame, cosines and sines of its number, the same for all n pixels."""
    x = torch.randn(7, 5, 8, generator=torch.Generator().manual_seed(0))  # [(b h w) f c]
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
    if advice := tensor_advice("with_positions", with_positions(x), wanted, mistakes, otherwise):
        return not_yet(advice)
    return right("Now a frame can be told from its neighbours, and attention from a set becomes attention along time.")


def check_01_4(conv_cost: Callable) -> Verdict:
    """`conv_cost(inputs, outputs, kernel, places) -> (parameters, flops)`: held against torch's own count."""
    for layer, shape in (
        (nn.Conv2d(6, 4, 3, padding=1), (5, 7)),
        (nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0)), (4, 3, 2)),
    ):
        c, out, kernel, places = layer.in_channels, layer.out_channels, layer.kernel_size, int(np.prod(shape))
        given = conv_cost(c, out, kernel, places)
        if is_missing(given):
            return not_yet(nothing_from("conv_cost"))
        if not isinstance(given, tuple | list) or len(given) != 2:
            return not_yet(f"conv_cost gave back {given!r}; two numbers are wanted: (parameters, flops).")
        work = tracing.trace(layer, torch.zeros(1, c, *shape)).total
        if tuple(given) != (work.parameters, work.flops):
            what = f"For {c} to {out} channels, kernel {kernel}, {places} places: "
            return not_yet(what + _cost_advice(*given, work.parameters, work.flops, out, int(np.prod(kernel))))
    return right("The parameters do not ask how large the video is; the FLOPs do.")


def _cost_advice(parameters: float, flops: float, true_parameters: int, true_flops: int, out: int, taps: int) -> str:
    if (parameters, flops) == (true_flops, true_parameters):
        return "the two numbers are exchanged: (parameters, flops) is wanted, in this order."
    if 0 < abs(parameters - true_parameters) <= out:
        what = f"{parameters} parameters, but there are {true_parameters}: "
        return what + "are the biases right? There is one for each channel that comes out."
    if parameters != true_parameters:
        return (
            f"{parameters} parameters, but there are {true_parameters}. Each output reads {taps} places of every input."
        )
    if 2 * flops == true_flops:
        return "the FLOPs are half of what torch counts: a multiplication and an addition are two."
    return f"the parameters are right, but {flops} FLOPs are not {true_flops}. Torch leaves the bias out."


# --- 02: how does noise become a video? ---


def check_02_1(half_way: Callable) -> Verdict:
    """`half_way(alphas_cumprod [1000]) -> int`: the first timestep where the noise is stronger than the signal.

    Tried on the published schedule and on a slower one, so that a remembered number does not pass.
    """
    for abar in (alphas_cumprod(0.0004, 0.006), alphas_cumprod(0.00085, 0.012)):
        given = half_way(abar)
        if is_missing(given):
            return not_yet(nothing_from("half_way"))
        if isinstance(given, Tensor) and given.numel() == 1:
            given = given.item()
        if not isinstance(given, Integral) or isinstance(given, bool):
            return not_yet(f"half_way gave back a {type(given).__name__}; one timestep, an int, is wanted.")
        if given != int((abar < 0.5).nonzero()[0]):
            return not_yet(_half_way_advice(given, abar))
    return right(f"On the published schedule noise overtakes the signal at {given} of 1000, long before the middle.")


def _half_way_advice(given: int, abar: Tensor) -> str:
    if given == len(abar) // 2:
        return "Half of the timesteps is not half of the signal: look for the place in alphas_cumprod."
    if given == int((abar.sqrt() < 0.5).nonzero()[0]):
        return "You ask for sqrt(abar) < 0.5. Compare the two factors, sqrt(abar) with sqrt(1 - abar)."
    if given == int((abar < 0.5).nonzero()[0]) - 1:
        return "One too early: there the signal is still the stronger one."
    if not 0 <= given < len(abar):
        return f"There is no timestep {given}: they go from 0 to {len(abar) - 1}."
    return (
        f"On another schedule (a check tries two) timestep {given} has abar {abar[given].item():.3f}; you want the "
        "first one below 0.5, computed from the argument."
    )


def _sigma(abar_t: Tensor, abar_prev: Tensor, eta: float) -> Tensor:
    return eta * ((1 - abar_prev) / (1 - abar_t) * (1 - abar_t / abar_prev)).sqrt()  # DDIM, equation 16


def ddim_step_eta(x_t: Tensor, eps: Tensor, abar_t: Tensor, abar_prev: Tensor, eta: float, z: Tensor) -> Tensor:
    """One DDIM step with fresh noise z, all [b c f h w]: Song et al. (2020), equations 12 and 16."""
    sigma = _sigma(abar_t, abar_prev, eta)
    x_0 = (x_t - (1 - abar_t).sqrt() * eps) / abar_t.sqrt()  # [b c f h w]
    return abar_prev.sqrt() * x_0 + (1 - abar_prev - sigma**2).sqrt() * eps + sigma * z


def check_02_2(step: Callable) -> Verdict:
    """`step(x_t, eps, abar_t, abar_prev, eta, z)`: tried at eta 0, 0.5 and 1 against equations 12 and 16."""
    x_t, eps, z = _noise(3)
    abar = alphas_cumprod(0.00085, 0.012)
    start = x_t, eps, abar[601], abar[561]
    still = ddim_step_eta(*start, 0.0, z)
    otherwise = "Already at eta = 0 it differs from ddim_step. Begin with that function, then add the noise."
    if advice := tensor_advice("ddim_step_eta", step(*start, 0.0, z), still, {}, otherwise):
        return not_yet(advice)
    for eta in (0.5, 1.0):
        sigma = _sigma(abar[601], abar[561], eta)
        wanted = ddim_step_eta(*start, eta, z)
        mistakes = {
            "eta has no effect yet: add sigma times z.": still,
            "The noise is added, but the old direction is not made smaller by sigma**2.": still + sigma * z,
            "The direction is made smaller, but sigma times z is not added.": wanted - sigma * z,
        }
        otherwise = (
            f"Right at eta = 0, wrong at eta = {eta}. In equation 16 sigma is a root, with eta outside; under the root "
            "in front of eps it is squared."
        )
        if advice := tensor_advice("ddim_step_eta", step(*start, eta, z), wanted, mistakes, otherwise):
            return not_yet(advice)
    return right("At eta = 0 it is the step of this notebook; at eta = 1 it is as random as DDPM.")


def rescaled(x_0_cond: Tensor, x_0_guided: Tensor, phi: float) -> Tensor:
    """A guided estimate [b c f h w] brought back to the spread of x_0_cond: Lin et al. (2023), section 3.4."""
    dims = list(range(1, x_0_cond.ndim))
    spread = x_0_cond.std(dims, keepdim=True) / x_0_guided.std(dims, keepdim=True)  # [b 1 1 1 1]
    return phi * x_0_guided * spread + (1 - phi) * x_0_guided


def check_02_3(answer: Callable) -> Verdict:
    """`rescaled(x_0_cond, x_0_guided, phi)`: each sample's own spread, mixed by phi (Lin et al. 2023, section 3.4)."""
    x_0_cond, change = _noise(2)
    change[1] *= 3  # the two samples of the batch differ in spread
    x_0_guided = x_0_cond + 6 * change
    whole = x_0_guided * x_0_cond.std() / x_0_guided.std()  # [b c f h w]
    mistakes = {
        "phi is the wrong way round: phi = 0 must leave x_0_guided as it is.": rescaled(x_0_cond, x_0_guided, 0.3),
        "One spread for the whole batch: a sample must not depend on its neighbours. Take std over all but axis 0.":
            0.7 * whole + 0.3 * x_0_guided,
        "phi has no effect: mix the rescaled estimate with x_0_guided.": rescaled(x_0_cond, x_0_guided, 1.0),
    }  # fmt: skip
    otherwise = "With phi = 1, the std of each sample should be that of x_0_cond. Print both and compare."
    wanted = rescaled(x_0_cond, x_0_guided, 0.7)
    if advice := tensor_advice("rescaled", answer(x_0_cond, x_0_guided, 0.7), wanted, mistakes, otherwise):
        return not_yet(advice)
    return right("At phi = 1 the guided estimate has the spread of the unguided one; at phi = 0 nothing changes.")


# --- 00: can I make a video from words, now? ---

SKETCH = cartoon.Labels("cat", "spinning", "lake", "pencil sketch")


def check_00_1(spec: GenerationSpec) -> Verdict:
    """A spec for a cat that spins by a lake, as a pencil sketch, with seed 7 and 10 steps, in any wording."""
    if is_missing(spec):
        return not_yet("Put a GenerationSpec(...) in place of the three dots.")
    if not isinstance(spec, GenerationSpec):
        return not_yet(f"This has the type {type(spec).__name__}. Wrap it: GenerationSpec(prompt=..., seed=...).")
    try:
        asked = cartoon.parse(spec.prompt)
    except ValueError as error:
        return not_yet(f"The prompt is not understood: {error}")
    for field in ("subject", "action", "place", "style"):
        if (given := getattr(asked, field)) != (wanted := getattr(SKETCH, field)):
            return not_yet(f"The prompt asks for the {field} {given!r}; {wanted!r} is wanted.")
    for field, wanted in (("seed", 7), ("steps", 10)):
        if (given := getattr(spec, field)) != wanted:
            return not_yet(f"The prompt is right, but {field} is {given}; {wanted} is wanted.")
    return right("Show it: show_video(generate(pipe, sketch)).")


def _frames() -> np.ndarray:
    """A clip whose grey level falls and rises: uint8 [f h w c]."""
    levels = np.array([250, 20, 30, 30, 210], np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (5, 4, 6, 3)).copy()


def check_00_2(motion: Callable) -> Verdict:
    """`motion(frames uint8 [f h w c]) -> [f-1]`: the mean absolute difference of neighbouring frames, 0 to 255."""
    frames = _frames()
    given = motion(frames)
    if is_missing(given):
        return not_yet(nothing_from("motion"))
    given = np.asarray(given, dtype=float)
    if given.shape != (len(frames) - 1,):
        return not_yet(f"{len(frames)} frames have {len(frames) - 1} pairs of neighbours; the shape is {given.shape}.")
    wanted = _mean_change(frames[1:].astype(int) - frames[:-1])
    if not np.allclose(given, wanted):
        return not_yet(_motion_advice(given, frames))
    return right("A frozen video has no motion. Try motion(first.frames): between which frames does most move?")


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
    return next((advice for advice, wrong in mistakes.items() if np.allclose(given, wrong)), otherwise)


def check_00_3(prompt: str) -> Verdict:
    """A sentence of the cartoon world whose subject, action and place were held out; not the notebook's own."""
    if is_missing(prompt):
        return not_yet("Put a sentence in place of the three dots.")
    if not isinstance(prompt, str):
        return not_yet(f"This has the type {type(prompt).__name__}; a sentence, in quotation marks, is wanted.")
    try:
        asked = cartoon.parse(prompt)
    except ValueError as error:
        return not_yet(f"The model would not understand it: {error}")
    what = f"{asked.subject}, {asked.action}, {asked.place}"
    if not cartoon.is_held_out(asked):
        return not_yet(f"Training did show this one ({what}). Look into cartoon.HELD_OUT.")
    if (asked.subject, asked.action, asked.place) == cartoon.HELD_OUT[0]:
        return not_yet("That is the robot in Times Square. Find another one in cartoon.HELD_OUT.")
    return right(f"Never shown: {what}. Now make the video: show_video(generate(pipe, replace(robot, prompt=unseen))).")


# --- 03: which scheduler, how many steps? ---


def check_03_1(steps_for: Callable) -> Verdict:
    """`steps_for(name, calls) -> int`: the most steps of "ddim", "dpm++", "heun" or "pndm" for at most that many calls.

    Heun calls the network twice a step and once in the last; pndm calls it once more than it has steps.
    """
    calls_of = {"ddim": lambda n: n, "dpm++": lambda n: n, "heun": lambda n: 2 * n - 1, "pndm": lambda n: n + 1}
    for name, calls in ((name, calls) for calls in (10, 25, 50) for name in calls_of):
        given = steps_for(name, calls)
        if is_missing(given):
            return not_yet(nothing_from("steps_for"))
        if not isinstance(given, Integral) or isinstance(given, bool):
            return not_yet(f"steps_for gave back a {type(given).__name__}; a number of steps, an int, is wanted.")
        what = f"{name} in {given} steps calls the network {calls_of[name](given)} times"
        if calls_of[name](given) > calls:
            return not_yet(f"{what}, but only {calls} calls are paid for.")
        if calls_of[name](given + 1) <= calls:
            return not_yet(f"{what}, so {calls} calls pay for one step more. What does its last step cost?")
    return right("Now the price is the same for all: 50 calls are 50 steps of DDIM, 49 of PNDM and 25 of Heun.")


def check_03_2(heun_step: Callable) -> Verdict:
    """`heun_step(slope, x, sigma_t, sigma_s)`: Karras et al. 2022, algorithm 1, without churn; slope(x, sigma).

    Tried on a slope of which every answer is known, and to sigma_s = 0, where it must not be asked.
    """
    x, asked = _noise(1)[0], []

    def slope(at: Tensor, sigma: float) -> Tensor:
        asked.append(sigma)
        return sigma * at / (0.25 + sigma**2) if sigma > 0 else at * float("nan")

    for t, s in ((8.0, 5.0), (2.0, 0.5)):
        here = slope(x, t)
        ahead = x + (s - t) * here
        mistakes = {
            "That is Euler's step. Ask for the slope at its end too, and go by the mean of both.": ahead,
            "You go from Euler's end, not from x: the second look replaces the first step.":
                ahead + (s - t) * (here + slope(ahead, s)) / 2,
            "You add both slopes; their mean is wanted.": x + (s - t) * (here + slope(ahead, s)),
            "You go by the slope at the end alone; the mean of both is wanted.": x + (s - t) * slope(ahead, s),
            "The second look is at x. It belongs to the place where Euler's step ends.":
                x + (s - t) * (here + slope(x, s)) / 2,
        }  # fmt: skip
        wanted = x + (s - t) * (here + slope(ahead, s)) / 2
        otherwise = "For x = 1, slope = sigma and a step from 2 to 1, it should arrive at -0.5: 1 + (1 - 2)(2 + 1)/2."
        if advice := tensor_advice("heun_step", heun_step(slope, x, t, s), wanted, mistakes, otherwise):
            return not_yet(advice)
    asked.clear()
    end, wanted = heun_step(slope, x, 0.5, 0.0), x - 0.5 * slope(x, 0.5)
    if 0.0 in asked:
        return not_yet("You ask for the slope at sigma = 0, where no noise is left to see: Euler's step is all.")
    if advice := tensor_advice("heun_step", end, wanted, {}, "To sigma_s = 0 it should be Euler's step."):
        return not_yet(advice)
    return right("Two calls for a step, one for the last. Whether it pays is what the order tells.")


def check_03_3(order_of: Callable) -> Verdict:
    """`order_of(calls, errors) -> float`: the slope of the line of least squares through the log-log plot, positive."""
    calls, errors = [8, 16, 32, 64], [0.4, 0.11, 0.021, 0.006]
    given = order_of(calls, errors)
    if is_missing(given):
        return not_yet(nothing_from("order_of"))
    wanted = -_slope(np.log(calls), np.log(errors))
    mistakes = {
        "The sign is turned: the error falls, and an order is told without the minus.": -wanted,
        "That is the slope of the plain numbers. Take the logarithm of both first.": -_slope(calls, errors),
        "That is the slope of the plain numbers. Take the logarithm of both first. (And turn the sign.)":
            _slope(calls, errors),
        "Only the errors are logarithms: take the logarithm of the calls as well.": -_slope(calls, np.log(errors)),
        "You use the first and the last point alone; the line goes through all four.":
            np.log(errors[0] / errors[-1]) / np.log(calls[-1] / calls[0]),
    }  # fmt: skip
    if np.isclose(float(given), wanted):
        return right("Halving the step divides the error by two to the power of this number.")
    otherwise = "Where the error is 1 / calls**2, the order must be 2. Try order_of([1, 2, 4], [1, 1/4, 1/16])."
    near = (advice for advice, wrong in mistakes.items() if np.isclose(float(given), wrong))
    return not_yet(next(near, otherwise))


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.polyfit(x, y, 1)[0])


# --- 05: what do the knobs cost, and what do they give? ---


def check_05_1(video_flops: Callable) -> Verdict:
    """`video_flops(steps, guidance, frames, unet, vae)`: unet for a guided step of all frames, vae for one frame."""
    for steps, guidance, frames in ((25, 9.0, 16), (10, 1.0, 4)):
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
        if guidance == 1:  # where both halves are paid, that is the mistake, and not that the price was doubled
            alone = "At guidance 1 the half without the prompt has no say, and is not computed: half a step."
            mistakes = {alone: steps * unet + frames * vae} | mistakes
        if advice := number_advice("video_flops", video_flops(steps, guidance, frames, unet, vae), wanted, mistakes):
            return not_yet(advice)
    return right("Steps multiply the UNet alone. That is why few steps make the decoder worth a look.")


def check_05_2(attention_flops: Callable) -> Verdict:
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
        if is_missing(given) or not isinstance(given, Sequence) or len(given) != 2:
            return not_yet(nothing_from("attention_flops") + " Two numbers are wanted: temporal, spatial.")
        if not np.allclose([*map(float, given)], (temporal, spatial)):
            otherwise = "One sequence of n vectors of c numbers: 2 n n c for the scores, and as many for the sums."
            return not_yet(next((a for a, wrong in mistakes.items() if np.allclose([*given], wrong)), otherwise))
    return right("Frames count squared in time, pixels squared in space. Twice the height is four times the pixels.")


def check_05_3(first_enough: Callable) -> Verdict:
    """`first_enough(values, measures)`: the first value whose interval overlaps that of the highest measure."""
    values, spans = (1, 2, 4, 8, 16, 32), ((1, 3), (3.5, 6.5), (4.5, 7.2), (6, 8.5), (6.2, 9.2), (7, 9))
    measured = [Measure((low + high) / 2, low, high, 32) for low, high in spans]  # 1 is below all, and 16 the highest
    measured[4] = Measure(8.2, 6.2, 9.2, 32)
    mistakes = {
        "That is the best value itself. A cheaper one may not be told from it.": 16,
        "You ask that the interval holds the best *value*. It is enough that the two intervals overlap.": 8,
        "You compare with the last value. The best one is the highest, wherever it stands.": 4,
        "That is the last one that overlaps; the first is wanted, since it is the cheapest.": 32,
        "Its interval ends below the best one's: they do not overlap.": 1,
    }
    if advice := number_advice("first_enough", first_enough(values, measured), 2, mistakes):
        return not_yet(advice)
    peaked = [Measure(*triple, 32) for triple in ((0.5, 0.4, 0.6), (0.9, 0.8, 1.0), (0.2, 0.1, 0.3))]
    if advice := number_advice("first_enough", first_enough((1, 2, 4), peaked), 2, {}):
        return not_yet(f"Where the middle is the highest: {advice}")
    return right("It does not say that both are equal: only that these seeds cannot tell them apart.")


def number_advice(name: str, given: object, wanted: float, mistakes: dict[str, float]) -> str | None:
    """None where `given` is the number `wanted`; else the advice that fits best. mistakes: advice -> its number."""
    if is_missing(given):
        return nothing_from(name)
    if not isinstance(given, Real) or isinstance(given, bool):
        return f"{name} gave back a {type(given).__name__}; a number is wanted."
    if np.isclose(float(given), wanted):
        return None
    near = (advice for advice, wrong in mistakes.items() if np.isclose(float(given), wrong))
    return next(near, f"{name} gave {given:g} where {wanted:g} is right.")


# --- 11: do I get what the blog got? ---


def check_11_1(verdict_of: Callable) -> Verdict:
    """`verdict_of(a, b)` for uint8 videos: "same bits", "same within rounding" (2 grey levels), "another video"."""
    a = np.full((2, 3, 3, 3), 100, np.uint8)  # [f h w c]
    one_up, one_down, far = a.copy(), a.copy(), a.copy()
    one_up[0], one_down[1], far[0, 1, 2, 0] = 101, 99, 160
    cases = (  # the other video, the verdict, and what another verdict tells
        (a.copy(), "same bits", "Two videos whose pixels are all equal are the same, bit for bit."),
        (far, "another video", "One pixel is off by 60, and 60 is no rounding. A mean hides it: look for the largest."),
        (one_down, "same within rounding", "One grey level is rounding. In uint8, 99 - 100 is 255: use int first."),
        (one_up, "same within rounding", "One grey level is rounding. In uint8, 100 - 101 is 255: use int first."),
        (a + np.uint8(2), "same within rounding", "Two grey levels are still rounding here: at most 2."),
        (a + np.uint8(3), "another video", "Three grey levels are more than rounding here: at most 2."),
    )
    for b, wanted, advice in cases:
        given = verdict_of(a, b)
        if is_missing(given):
            return not_yet(nothing_from("verdict_of"))
        if given not in {case[1] for case in cases}:
            return not_yet(f"verdict_of gave {given!r}; one of the three sentences is wanted, letter for letter.")
        if given != wanted:
            return not_yet(f"{advice} You say {given!r}.")
    return right("The ledger's own `compare` decides in the same way.")


def check_11_2(start_of: Callable) -> Verdict:
    """`start_of(k, shape) -> Tensor`: the k-th draw, k from 1, of one generator that is seeded once with 1234."""
    shape = (1, 4, 2, 3, 3)  # [b c f h w]
    for k in (1, 3):
        draws = _draws(1234, k + 1, shape)
        mistakes = {
            "That is the first draw. The videos before took theirs from the same generator: draw those too.": draws[0],
            "That is one draw too many: the first video starts from the first draw.": draws[k],
            "Another seed is another stream. The blog seeds once, with 1234, and goes on.":
                _draws(1234 + k - 1, 1, shape)[0],
            "Another seed is another stream. The blog seeds once, with 1234, not with 1234 + k.":
                _draws(1234 + k, 1, shape)[0],
        }  # fmt: skip
        otherwise = "Make one generator of seed 1234, draw k times torch.randn(shape), and give the last one back."
        if advice := tensor_advice(f"start_of({k}, shape)", start_of(k, shape), draws[k - 1], mistakes, otherwise):
            return not_yet(advice)
    return right("To make the blog's fourth video alone, you must first throw three noises away.")


def _draws(seed: int, count: int, shape: Sequence[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def check_11_3(still: Callable) -> Verdict:
    """`still(grey [f h w]) -> [h w-1]`: the median over time of the change from each pixel to its right neighbour."""
    grey = _noise(1)[0][0, 0].repeat(3, 1, 1) * 20 + 128  # [9 h w]
    grey = grey + _noise(2)[1].flatten()[: grey.numel()].reshape(grey.shape) * 9
    change = grey.diff(dim=2)  # [f h w-1]
    wanted = change.median(dim=0).values
    mistakes = {
        "That is the mean over time. One frame where something passes would pull it; the median lets it pass.":
            change.mean(dim=0),
        "That is the median of the picture, and then its edges: a bright thing that passes still leaves edges. "
        "Take the change in each frame first.": grey.median(dim=0).values.diff(dim=1),
        "You dropped the signs: then noise, which goes up as often as down, no longer cancels.":
            change.abs().median(dim=0).values,
        "That is the left pixel minus the right one; the right one minus the left one is wanted.": -wanted,
    }  # fmt: skip
    given = still(grey.numpy())
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(given)
    if isinstance(given, Tensor) and given.shape == (grey.shape[1] - 1, grey.shape[2]):
        return not_yet("That is the change from row to row. Letters have upright strokes: go along the last axis, w.")
    if isinstance(given, Tensor) and given.shape == (grey.shape[0] - 1, *grey.shape[1:]):
        return not_yet("That is the change from frame to frame. What stands still has none: go along the last axis, w.")
    otherwise = "Take grey[:, :, 1:] - grey[:, :, :-1], and its median over the first axis."
    if advice := tensor_advice("still", given, wanted, mistakes, otherwise):
        return not_yet(advice)
    return right("What moves has its edges elsewhere in every frame, and so the median forgets it.")
