"""Schedulers by name, each made on the noise schedule of the pipeline's own (the guest of this module is diffusers).

Swapping is `from_config`, as every public script does it: the betas and the kind of prediction are kept, and what the
old scheduler left at its own default takes the new one's. So the time steps may differ from name to name; what
stays the same is the noise that was trained on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches

import diffusers

_CLASSES = {
    "ddim": diffusers.DDIMScheduler,  # Song et al. 2020, "Denoising Diffusion Implicit Models", eq. 12
    "dpm++": diffusers.DPMSolverMultistepScheduler,  # Lu et al. 2022, "DPM-Solver++", algorithm 2
    "lms": diffusers.LMSDiscreteScheduler,  # Adams-Bashforth in sigma; k-diffusion's sample_lms
    "pndm": diffusers.PNDMScheduler,  # Liu et al. 2022, "Pseudo Numerical Methods", eqs. 11-12
    "euler": diffusers.EulerDiscreteScheduler,  # Karras et al. 2022, algorithm 2 without its churn and correction
    "heun": diffusers.HeunDiscreteScheduler,  # Karras et al. 2022, algorithm 2 without its churn
    "unipc": diffusers.UniPCMultistepScheduler,  # Zhao et al. 2023, "UniPC", algorithm 1
    "deis": diffusers.DEISMultistepScheduler,  # Zhang & Chen 2022, "DEIS", section 4
    "ddpm": diffusers.DDPMScheduler,  # Ho et al. 2020, "Denoising Diffusion Probabilistic Models", algorithm 2
}
_SETTINGS = {"pndm": {"skip_prk_steps": True}}  # as ModelScope's config says: without it, 9 more calls of the UNet
NAMES = tuple(_CLASSES)
STOCHASTIC = (diffusers.DDPMScheduler,)  # these draw noise at each step


def check_name(name: str) -> str:
    """Give the name back. ValueError: not one of NAMES; says which name was probably meant."""
    if name not in NAMES:
        meant = get_close_matches(str(name).lower(), NAMES, n=1)
        hint = f"did you mean {meant[0]!r}? " if meant else ""
        raise ValueError(f"scheduler={name!r} is unknown: {hint}use one of {', '.join(NAMES)}.")
    return name


def make(name: str, config: dict) -> diffusers.SchedulerMixin:
    """A fresh scheduler of that name on the noise schedule in `config` (`pipe.scheduler.config`).

    ValueError: an unknown name. ImportError: "lms" without scipy.
    """
    return _CLASSES[check_name(name)].from_config(config, **_SETTINGS.get(name, {}))


def unet_calls(name: str, steps: int) -> int:
    """How often the UNet is called for that many steps: the cost to compare schedulers at.

    PNDM takes its second step twice to start its history; Heun looks ahead in every step but the last.
    ValueError: an unknown name.
    """
    check_name(name)
    if name == "heun":
        return 2 * steps - 1
    return steps + 1 if name == "pndm" and steps > 1 else steps


@contextmanager
def swapped(pipe: diffusers.DiffusionPipeline, name: str) -> Iterator[diffusers.DiffusionPipeline]:
    """The pipeline with another scheduler inside the `with`; the old one is back afterwards, also after an error.

    ValueError: an unknown name.
    """
    before = pipe.scheduler
    pipe.scheduler = make(name, before.config)
    try:
        yield pipe
    finally:
        pipe.scheduler = before
