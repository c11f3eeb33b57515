"""Flow matching: a straight line from the clean sample to the noise, and a learned velocity that leads back.

    for x in sample(model, torch.randn(shape), steps=25): ...      # model(x_t, 1000 sigma) -> the velocity at x_t

    variable   symbol   meaning
    sigma      t        the share of noise, from 0 (clean) to 1 (noise alone); Lipman et al. count from the noise
    x_t        x_t      (1 - sigma) x_0 + sigma eps (Liu et al. 2022, arXiv 2209.03003, equation 1)
    velocity   u_t, v   dx_t / dsigma = eps - x_0 (Lipman et al. 2022, arXiv 2210.02747, equation 23)
    shift      alpha    above 1, more of the steps are at the noisy end (Esser et al. 2024, arXiv 2403.03206, 5.3.2)

A network is told the time 1000 sigma, as in diffusers. Up to a scale, the same mixtures of x_0 and eps occur with a
noise schedule (`scale`, `share_of_noise`), so that a network of the velocity is one of the noise as well (`as_noise`).
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from t2v_helpers.core import checking
from t2v_helpers.diffusion import noise
from t2v_helpers.diffusion.grids import level

TIMES = 1000  # what a network is told at sigma = 1
MOST_STEPS, MOST_SHIFT = 1000, 100
Model = Callable[[Tensor, float], Tensor]


def mix(x_0: Tensor, eps: Tensor, sigma: Tensor | float) -> Tensor:
    """x_t = (1 - sigma) x_0 + sigma eps, in the shape of x_0; sigma is one number, or [b]. ValueError: not in 0..1."""
    sigma = torch.as_tensor(sigma, dtype=x_0.dtype, device=x_0.device)
    sigma = noise.per_sample("sigma", sigma, x_0, "it lies from 0 (clean) to 1 (noise alone)")
    return (1 - sigma) * x_0 + sigma * eps


def velocity(x_0: Tensor, eps: Tensor) -> Tensor:
    """dx_t / dsigma = eps - x_0: the same all along the line, and what a network learns."""
    return eps - x_0


def sigmas(steps: int, shift: float = 1.0) -> list[float]:
    """Where the steps begin, from 1 down in equal parts, and 0 at the end: [steps + 1].

    A shift moves each to shift s / (1 + (shift - 1) s). So the pipelines of diffusers have it, which hand these numbers
    to the scheduler. ValueError: steps not from 1 to 1000, shift not from 0.01 to 100.
    """
    checking.whole("steps", steps, 1, MOST_STEPS)
    checking.number("shift", shift, 1 / MOST_SHIFT, MOST_SHIFT)
    even = [1 - i / steps for i in range(steps)]
    return [shift * s / (1 + (shift - 1) * s) for s in even] + [0.0]


def sample(model: Model, x: Tensor, steps: int, shift: float = 1.0) -> Iterator[Tensor]:
    """Euler's steps along the velocity, x += (s - t) v, from standard normal x to a clean sample; yields every x.

    It is FlowMatchEulerDiscreteScheduler of diffusers. ValueError, before the first call: see `sigmas`.
    """
    return _sample(model, x, sigmas(steps, shift))


def _sample(model: Model, x: Tensor, levels: list[float]) -> Iterator[Tensor]:
    for t, s in pairwise(levels):
        x = x + (s - t) * model(x, TIMES * t)
        yield x


# --- beside a noise schedule


def share_of_noise(abar: Tensor | float) -> Tensor:
    """The sigma at which x_t has as much noise for its signal as at abar: 1 / (1 + sqrt(abar / (1 - abar)))."""
    return 1 / (1 + 1 / noise.sigma(abar))


def scale(abar: Tensor | float) -> Tensor:
    """sqrt(abar) + sqrt(1 - abar): a noise schedule's x_t, divided by this, is the x_t of flow matching."""
    abar = torch.as_tensor(abar, dtype=torch.float64) if isinstance(abar, float) else abar
    return abar.sqrt() + (1 - abar).sqrt()


def as_noise(model: Model) -> Model:
    """A network of the velocity as one of the noise, for the samplers of ModelScopeT2V's noise schedule.

    Both follow one and the same flow: a step of DDIM goes where Euler's goes between the same two levels.
    """
    schedule = noise.alphas_cumprod()

    def predict(x_t: Tensor, t: float) -> Tensor:
        here = level(float(t), schedule).abar
        sigma = float(share_of_noise(here))
        x = x_t / float(scale(here))
        return x + (1 - torch.tensor(sigma, dtype=x.dtype)) * model(x, TIMES * sigma)  # straight back to the noise

    return predict
