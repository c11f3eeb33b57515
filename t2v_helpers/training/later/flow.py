"""Flow matching as an objective: a network learns the velocity from clean clips to noise (studies/later.py).

Liu et al. 2022, arXiv 2209.03003, equation 1; Lipman et al. 2022, arXiv 2210.02747, equation 23.
"""

from collections.abc import Callable

from torch import Tensor, special

from t2v_helpers.diffusion.flow_matching import TIMES, mix, velocity
from t2v_helpers.training.denoiser import noise_error


def flow_error(predict: Callable[[Tensor, Tensor], Tensor], x_0: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
    """||v - (eps - x_0)||^2 at x_t = (1 - sigma) x_0 + sigma eps, a mean for each sample [b].

    predict: x_t [b c f h w] and times 1000 sigma [b] -> v [b c f h w].
    """
    return noise_error(predict(mix(x_0, eps, sigma), TIMES * sigma), velocity(x_0, eps))


def in_the_middle(u: Tensor) -> Tensor:
    """Shares of noise that are half clean, half noise more often than either: logit-normal, from uniform u in (0, 1).

    Esser et al. 2024, arXiv 2403.03206, section 3.1, with m = 0 and s = 1.
    """
    return special.ndtri(u).sigmoid()
