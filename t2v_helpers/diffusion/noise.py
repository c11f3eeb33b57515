"""The mathematics of noising: the schedule, and how x_0, x_t, eps and v follow from each other.

Numbers and tensors in, tensors out; x may have any axes, as long as the first is the batch. `abar_t` is a number, a
tensor [], or one value per sample [b].

    variable        symbol            meaning
    betas           beta_t            variance added at step t (Ho et al. 2020, section 2)
    alphas_cumprod  alpha-bar_t       prod_{s<=t} (1 - beta_s), written `abar` here (Ho et al. 2020, section 2)
    x_0, x_t        x_0, x_t          the clean sample, and the sample at step t
    eps             epsilon           the noise, standard normal
    v               v_t               sqrt(abar_t) eps - sqrt(1 - abar_t) x_0 (Salimans & Ho 2022, section 4)
    sigma           sigma_t           noise over signal, sqrt((1 - abar_t) / abar_t) (Karras et al. 2022, appendix C.3)
    snr             SNR(t)            abar_t / (1 - abar_t) = 1 / sigma_t^2 (Kingma et al. 2021, section 3)
    half_log_snr    lambda_t          log(SNR(t)) / 2 = -log(sigma_t) (Lu et al. 2022, section 3.1)
    t, s            t, s              a sampler's step goes from time t to time s < t (Lu et al. 2022: from s to t)
    signal, noise   alpha_t, sigma_t  sqrt(abar_t) and sqrt(1 - abar_t) of a Level (the letters are Lu et al. 2022's)
    h               h                 lambda_s - lambda_t, the length of such a step (Lu et al. 2022, section 3.2)
"""

import torch
from torch import Tensor


def alphas_cumprod(beta_start: float = 0.00085, beta_end: float = 0.012) -> Tensor:
    """alpha-bar at each of 1000 training steps, float32 [1000], falling from nearly 1 towards 0.

    sqrt(beta) rises linearly, as in latent diffusion ("scaled_linear" of diffusers); the defaults are ModelScopeT2V's.
    ValueError: betas outside (0, 1) or falling.
    """
    if not 0 < beta_start <= beta_end < 1:
        raise ValueError(f"beta_start={beta_start}, beta_end={beta_end}: 0 < beta_start <= beta_end < 1 is needed.")
    betas = torch.linspace(beta_start**0.5, beta_end**0.5, 1000) ** 2  # [1000]
    return (1 - betas).cumprod(dim=0)


def sigma(abar: Tensor | float) -> Tensor:
    """Noise over signal, sqrt((1 - abar) / abar), in the shape of `abar` (Karras et al. 2022, appendix C.3)."""
    abar = _tensor(abar)
    return ((1 - abar) / abar).sqrt()


def snr(abar: Tensor | float) -> Tensor:
    """Signal-to-noise ratio abar / (1 - abar), in the shape of `abar` (Kingma et al. 2021, section 3)."""
    abar = _tensor(abar)
    return abar / (1 - abar)


def half_log_snr(abar: Tensor | float) -> Tensor:
    """lambda = log(SNR) / 2, in the shape of `abar`; infinite where abar is 1 (Lu et al. 2022, "DPM-Solver")."""
    return snr(abar).log() / 2


def add_noise(x_0: Tensor, eps: Tensor, abar_t: Tensor | float) -> Tensor:
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, in the shape of x_0 (Ho et al. 2020, equation 4)."""
    signal, noise = _scales(abar_t, x_0)
    return signal * x_0 + noise * eps


def x_0_from_eps(x_t: Tensor, eps: Tensor, abar_t: Tensor | float) -> Tensor:
    """x_0 = (x_t - sqrt(1 - abar_t) eps) / sqrt(abar_t) (Song et al. 2021, "DDIM", equation 9). abar_t above 0."""
    signal, noise = _scales(abar_t, x_t)
    return (x_t - noise * eps) / signal


def eps_from_x_0(x_t: Tensor, x_0: Tensor, abar_t: Tensor | float) -> Tensor:
    """eps = (x_t - sqrt(abar_t) x_0) / sqrt(1 - abar_t), equation 4 of Ho et al. solved for eps. abar_t below 1."""
    signal, noise = _scales(abar_t, x_t)
    return (x_t - signal * x_0) / noise


def x_0_from_step(x_t: Tensor, x_s: Tensor, abar_t: Tensor | float, abar_s: Tensor | float) -> Tensor:
    """The x_0 with which one step of DDIM leads from x_t to x_s (Salimans & Ho 2022, appendix G, eq. 43).

    x_s = sqrt(abar_s) x_0 + sqrt(1 - abar_s) eps, with eps from x_t and x_0, solved for x_0. abar_t below abar_s.
    """
    (signal_t, noise_t), (signal_s, noise_s) = _scales(abar_t, x_t), _scales(abar_s, x_t)
    kept = noise_s / noise_t  # of the noise
    return (x_s - kept * x_t) / (signal_s - kept * signal_t)


def eps_from_v(x_t: Tensor, v: Tensor, abar_t: Tensor | float) -> Tensor:
    """eps = sqrt(abar_t) v + sqrt(1 - abar_t) x_t (Salimans & Ho 2022, appendix D)."""
    signal, noise = _scales(abar_t, x_t)
    return signal * v + noise * x_t


def _tensor(abar: Tensor | float) -> Tensor:
    """A plain number becomes a double: near 1, where little noise is left, 1 - abar would lose digits."""
    return abar if isinstance(abar, Tensor) else torch.tensor(abar, dtype=torch.float64)


def _scales(abar_t: Tensor | float, x: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(abar_t) and sqrt(1 - abar_t), one per sample, in the dtype of x: [1 or b, 1, 1, ...]."""
    abar_t = torch.as_tensor(abar_t, dtype=torch.float32, device=x.device)
    abar_t = per_sample("abar_t", abar_t, x, "alpha-bar lies from 0 (noise) to 1 (no noise)")
    return abar_t.sqrt().to(x.dtype), (1 - abar_t).sqrt().to(x.dtype)


def per_sample(name: str, values: Tensor, x: Tensor, limits: str) -> Tensor:
    """Values [] or [b], ready to multiply x: [1 or b, 1, 1, ...]. ValueError: another shape, or not in 0..1."""
    if values.ndim > 1 or values.numel() not in (1, len(x)):
        raise ValueError(f"{name} has shape {list(values.shape)}: give one, or one for each of {len(x)} samples.")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{name}={values.tolist()} is out of range: {limits}.")
    return values.reshape(-1, *[1] * (x.ndim - 1))
