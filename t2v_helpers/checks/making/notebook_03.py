"""The checks of notebook 03: which scheduler, how many steps?"""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from t2v_helpers.checks.advice import (
    VIDEO,
    Advice,
    noises,
    nothing_from,
    number_advice,
    tensor_advice,
    whole_advice,
)

EACH_STEP = "How many calls does each step cost? (pndm pays twice for its first.)"


def check_03_1(steps_for: Callable) -> Advice:
    """`steps_for(name, calls) -> int`: the most steps of "ddim", "dpm++", "heun" or "pndm" for at most that many calls.

    Heun calls the network twice a step and once in the last; pndm calls it once more than it has steps.
    """
    calls_of = {"ddim": lambda n: n, "dpm++": lambda n: n, "heun": lambda n: 2 * n - 1, "pndm": lambda n: n + 1}
    for name, calls in ((name, calls) for calls in (10, 25, 50) for name in calls_of):
        given = steps_for(name, calls)
        yield whole_advice("steps_for", given, "a number of steps")
        what = f"{name} in {given} steps calls the network {calls_of[name](given)} times"
        if calls_of[name](given) > calls:
            yield f"{what}, but only {calls} calls are paid for."
        if calls_of[name](given + 1) <= calls:
            cost = "What does its last step cost?" if name == "heun" else EACH_STEP
            yield f"{what}, so {calls} calls pay for one step more. {cost}"
    return "Now the price is the same for all: 50 calls are 50 steps of DDIM, 49 of PNDM and 25 of Heun."


def check_03_2(heun_step: Callable) -> Advice:
    """`heun_step(slope, x, sigma_t, sigma_s)`: Karras et al. 2022, algorithm 1, without churn; slope(x, sigma).

    Tried on a slope of which every answer is known, and to sigma_s = 0, where it must not be asked.
    """
    (x,), asked = noises(VIDEO), []

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
        yield tensor_advice("heun_step", heun_step(slope, x, t, s), wanted, mistakes, otherwise)
    asked.clear()
    end, wanted = heun_step(slope, x, 0.5, 0.0), x - 0.5 * slope(x, 0.5)
    if 0.0 in asked:
        yield "You ask for the slope at sigma = 0, where no noise is left to see: Euler's step is all."
    yield tensor_advice("heun_step", end, wanted, {}, "To sigma_s = 0 it should be Euler's step.")
    return "Two calls for a step, one for the last. Whether it pays is what the order tells."


def check_03_3(order_of: Callable) -> Advice:
    """`order_of(calls, errors) -> float`: the slope of the line of least squares through the log-log plot, positive."""
    calls, errors = [8, 16, 32, 64], [0.4, 0.11, 0.021, 0.006]
    given = order_of(calls, errors)
    yield nothing_from("order_of", given)
    if np.ndim(given) != 0:
        yield "order_of gave back several numbers. np.polyfit gives [slope, intercept]: take the slope alone."
    wanted = -_slope(np.log(calls), np.log(errors))
    mistakes = {
        "The sign is turned: the error falls, and an order is told without the minus.": -wanted,
        "That is the slope of the plain numbers. Take the logarithm of both first.": -_slope(calls, errors),
        "That is the slope of the plain numbers. Take the logarithm of both first. (And turn the sign.)":
            _slope(calls, errors),
        "Only the errors are logarithms: take the logarithm of the calls as well.": -_slope(calls, np.log(errors)),
        "You fit the calls to the errors: log(calls) is x, not y.": -_slope(np.log(errors), np.log(calls)),
        "You use the first and the last point alone; the line goes through all four.":
            np.log(errors[0] / errors[-1]) / np.log(calls[-1] / calls[0]),
    }  # fmt: skip
    otherwise = "Where the error is 1 / calls**2, the order must be 2. Try order_of([1, 2, 4], [1, 1/4, 1/16])."
    yield number_advice("order_of", float(given), wanted, mistakes, otherwise)
    return "Halving the step divides the error by two to the power of this number."


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.polyfit(x, y, 1)[0])
