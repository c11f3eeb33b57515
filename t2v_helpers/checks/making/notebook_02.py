"""The checks of notebook 02: how does noise become a video?"""

from collections.abc import Callable

from torch import Tensor

from t2v_helpers.checks.advice import VIDEO, Advice, noises, tensor_advice, whole_advice
from t2v_helpers.diffusion.noise import alphas_cumprod

NEAREST_ABOVE = (0.0005, 0.009)  # beta_start, beta_end: the abar nearest to 0.5 is above it


def check_02_1(half_way: Callable) -> Advice:
    """`half_way(alphas_cumprod [1000]) -> int`: the first timestep where the noise is stronger than the signal.

    Tried on the published schedule and on two slower ones, so that a remembered number does not pass; in one of them
    the timestep nearest to 0.5 lies above it.
    """
    for abar in (alphas_cumprod(0.0004, 0.006), alphas_cumprod(*NEAREST_ABOVE), alphas_cumprod(0.00085, 0.012)):
        given = half_way(abar)
        given = given.item() if isinstance(given, Tensor) and given.numel() == 1 else given
        yield whole_advice("half_way", given, "one timestep")
        if given != int((abar < 0.5).nonzero()[0]):
            yield _half_way_advice(given, abar)
    return f"On the published schedule noise overtakes the signal at {given} of 1000, long before the middle."


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
        f"On another schedule (the check tries three) timestep {given} has abar {abar[given].item():.3f}; you want the "
        "first one below 0.5, computed from the argument."
    )


def _sigma(abar_t: Tensor, abar_prev: Tensor, eta: float) -> Tensor:
    return eta * ((1 - abar_prev) / (1 - abar_t) * (1 - abar_t / abar_prev)).sqrt()  # DDIM, equation 16


def ddim_step_eta(x_t: Tensor, eps: Tensor, abar_t: Tensor, abar_prev: Tensor, eta: float, z: Tensor) -> Tensor:
    """One DDIM step with fresh noise z, all [b c f h w]: Song et al. (2020), equations 12 and 16."""
    sigma = _sigma(abar_t, abar_prev, eta)
    x_0 = (x_t - (1 - abar_t).sqrt() * eps) / abar_t.sqrt()  # [b c f h w]
    return abar_prev.sqrt() * x_0 + (1 - abar_prev - sigma**2).sqrt() * eps + sigma * z


def check_02_2(step: Callable) -> Advice:
    """`step(x_t, eps, abar_t, abar_prev, eta, z)`: tried at eta 0, 0.5 and 1 against equations 12 and 16."""
    x_t, eps, z = noises(*[VIDEO] * 3)
    abar = alphas_cumprod(0.00085, 0.012)
    start = x_t, eps, abar[601], abar[561]
    still = ddim_step_eta(*start, 0.0, z)
    otherwise = "Already at eta = 0 it differs from ddim_step. Begin with that function, then add the noise."
    yield tensor_advice("ddim_step_eta", step(*start, 0.0, z), still, {}, otherwise)
    for eta in (0.5, 1.0):
        sigma = _sigma(abar[601], abar[561], eta)
        wanted = ddim_step_eta(*start, eta, z)
        mistakes = {
            "eta has no effect yet: add sigma times z.": still,
            "The noise is added, but the old direction is not made smaller by sigma**2.": still + sigma * z,
            "The direction is made smaller, but sigma times z is not added.": wanted - sigma * z,
            "You add eps again: the fresh noise is z.": ddim_step_eta(*start, eta, eps),
        }
        otherwise = (
            f"Right at eta = 0, wrong at eta = {eta}. In equation 16 sigma is a root, with eta outside; under the root "
            "in front of eps it is squared."
        )
        yield tensor_advice("ddim_step_eta", step(*start, eta, z), wanted, mistakes, otherwise)
    return "At eta = 0 it is the step of this notebook; at eta = 1 it is as random as DDPM."


def rescaled(x_0_cond: Tensor, x_0_guided: Tensor, phi: float) -> Tensor:
    """A guided estimate [b c f h w] brought back to the spread of x_0_cond: Lin et al. (2024), section 3.4."""
    dims = list(range(1, x_0_cond.ndim))
    spread = x_0_cond.std(dims, keepdim=True) / x_0_guided.std(dims, keepdim=True)  # [b 1 1 1 1]
    return phi * x_0_guided * spread + (1 - phi) * x_0_guided


def check_02_3(answer: Callable) -> Advice:
    """`rescaled(x_0_cond, x_0_guided, phi)`: each sample's own spread, mixed by phi (Lin et al. 2024, section 3.4)."""
    x_0_cond, change = noises(VIDEO, VIDEO)
    change[1] *= 3  # the two samples of the batch differ in spread
    x_0_guided = x_0_cond + 6 * change
    whole = x_0_guided * x_0_cond.std() / x_0_guided.std()  # [b c f h w]
    mistakes = {
        "phi is the wrong way round: phi = 0 must leave x_0_guided as it is.": rescaled(x_0_cond, x_0_guided, 0.3),
        "One spread for the whole batch: a sample must not depend on its neighbours. Take std over all but axis 0.":
            0.7 * whole + 0.3 * x_0_guided,
        "phi has no effect: mix the rescaled estimate with x_0_guided.": rescaled(x_0_cond, x_0_guided, 1.0),
        "The rest, 1 - phi, is x_0_guided, not x_0_cond.":
            rescaled(x_0_cond, x_0_guided, 0.7) + 0.3 * (x_0_cond - x_0_guided),
    }  # fmt: skip
    otherwise = "With phi = 1, the std of each sample should be that of x_0_cond. Print both and compare."
    wanted = rescaled(x_0_cond, x_0_guided, 0.7)
    yield tensor_advice("rescaled", answer(x_0_cond, x_0_guided, 0.7), wanted, mistakes, otherwise)
    return "At phi = 1 the guided estimate has the spread of the unguided one; at phi = 0 nothing changes."
