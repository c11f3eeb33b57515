"""The checks of notebook 10: how fast can it go?"""

from collections.abc import Callable

from t2v_helpers.checks.advice import Advice, number_advice


def check_10_1(amdahl: Callable) -> Advice:
    """`amdahl(share, times)`: how many times faster the whole gets."""
    for share, times in ((0.8, 3.0), (0.5, 100.0), (0.25, 2.0)):
        left = (1 - share) + share / times
        mistakes = {
            "That is what is left of the time. How many times faster is one over it.": left,
            "The rest stays as it is: add the time of the rest, 1 - share.": times / share,
            "That takes the part alone. The rest of the time is still there.": times,
            "The faster part does not vanish: share / times of it is left.": 1 / (1 - share),
            "That adds up speeds. Add up times: of the part, and of the rest.": (1 - share) + share * times,
            "The two shares are exchanged: `share` is the one that gets faster.": 1 / (share + (1 - share) / times),
            "Brackets are missing: one over the whole sum.": 1 / (1 - share) + share / times,
        }
        yield number_advice(f"amdahl({share:g}, {times:g})", amdahl(share, times), 1 / left, mistakes)
    return "What is small cannot gain much, however fast it becomes: look for the large share first."


def check_10_2(attainable: Callable) -> Advice:
    """`attainable(intensity, peak, bandwidth)`: the roofline, in FLOP/s."""
    for intensity, peak, bandwidth in ((50.0, 100.0, 20.0), (0.5, 100.0, 20.0), (2.0, 100.0, 20.0)):
        slope = intensity * bandwidth
        why = "no layer is faster than the peak" if slope > peak else "with few FLOP for each byte, moving takes longer"
        mistakes = {
            f"That is the larger of the two, and {why}: take the smaller.": max(peak, slope),
            "FLOP for each byte, times bytes a second: multiply, do not divide.": min(peak, bandwidth / intensity),
            "Moving and computing go on at the same time: their times do not add up.": 1 / (1 / peak + 1 / slope),
        }
        given = attainable(intensity, peak, bandwidth)
        call = f"attainable({intensity:g}, {peak:g}, {bandwidth:g})"
        yield number_advice(call, given, min(peak, slope), mistakes)
    return "Under the slope, only fewer bytes help; under the flat part, only fewer operations."


def check_10_3(price: Callable) -> Advice:
    """`price(steps, every, whole, last)`: seconds, where each `every`-th step from the first computes all layers."""
    for steps, every in ((25, 3), (10, 5), (7, 1)):
        whole, last = 4.0, 1.0
        full = -(-steps // every)
        mistakes = {
            "Each group of `every` steps begins with a full step, also a last group that is shorter: round up.":
                steps // every * whole + (steps - steps // every) * last,
            "The first step is counted twice: of 10 steps with every fifth one full, steps 0 and 5 are.":
                (1 + steps // every) * whole + (steps - 1 - steps // every) * last,
            "Steps are whole: there is no third of a full step. Round up.":
                steps / every * whole + (steps - steps / every) * last,
            "The steps in between still compute the last layer.": full * whole,
            "A full step computes the last layer as part of all: do not pay it twice.": full * whole + steps * last,
            "The two are swapped: few steps compute all layers, most the last one alone.":
                full * last + (steps - full) * whole,
        }  # fmt: skip
        call = f"price({steps}, {every}, {whole:g}, {last:g})"
        wanted = full * whole + (steps - full) * last
        yield number_advice(call, price(steps, every, whole, last), wanted, mistakes)
    return "With a large interval nearly all steps cost `last`: no interval makes them cheaper than that."
