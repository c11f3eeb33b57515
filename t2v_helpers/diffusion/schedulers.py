"""Schedulers by name, each made on the noise schedule of the pipeline's own (the guest of this module is diffusers).

What was trained is kept: the betas, the kind of prediction, how x_0 is clipped. The rest is the name's own, whatever
scheduler was there before; the spacing of the time steps too, unless `spacing` is given:

    scheduler = make("euler", pipe.scheduler.config, spacing="trailing")

`table` lists them all, and what each costs.
"""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from numbers import Integral
from typing import NamedTuple

import diffusers
import torch

from t2v_helpers.diffusion.grids import SPACINGS

_VALUES = {  # of options that diffusers would take as they come
    "final_sigmas_type": ("zero", "sigma_min"),
    "timestep_type": ("discrete", "continuous"),
    "interpolation_type": ("linear", "log_linear"),
    "variance_type": ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
}
_KINDS = {  # of solvers: the default says which others the class has; for the rest it stops, or takes its default
    "dpmsolver++": ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"),
    "midpoint": ("midpoint", "heun"),
    "bh2": ("bh1", "bh2"),
}
_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")  # one at a time
_ENDS = {"sigma_min", "sigma_max"}  # where those spacings of sigma end; the others do not ask
_LEADING = {"timestep_spacing": "leading"}
_LINSPACE = {"timestep_spacing": "linspace"}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_SINGLE = {"lower_order_final": True}  # diffusers would switch it on by itself, with a warning
_MADE = {  # name -> class, and settings; the spacings are the classes' own, written out
    # Song et al. 2021, "DDIM", equation 12
    "ddim": (diffusers.DDIMScheduler, _LEADING),
    # Lu et al. 2022, "DPM-Solver++", algorithm 2: "2M"
    "dpm++": (diffusers.DPMSolverMultistepScheduler, _LINSPACE),
    # Adams-Bashforth in sigma; k-diffusion's sample_lms
    "lms": (diffusers.LMSDiscreteScheduler, _LINSPACE),
    # Liu et al. 2022, "PNDM", equations 11 and 12; ModelScope's config skips the Runge-Kutta steps, 9 more calls
    "pndm": (diffusers.PNDMScheduler, _LEADING | {"skip_prk_steps": True}),
    # Karras et al. 2022, algorithm 1 without its correction
    "euler": (diffusers.EulerDiscreteScheduler, _LINSPACE),
    # Karras et al. 2022, algorithm 1
    "heun": (diffusers.HeunDiscreteScheduler, _LINSPACE),
    # Zhao et al. 2023, "UniPC", section 3
    "unipc": (diffusers.UniPCMultistepScheduler, _LINSPACE),
    # Zhang & Chen 2022, "DEIS", section 4
    "deis": (diffusers.DEISMultistepScheduler, _LINSPACE),
    # Ho et al. 2020, "DDPM", algorithm 2
    "ddpm": (diffusers.DDPMScheduler, _LEADING),
    # Song et al. 2021, "Score-Based Generative Modeling through SDEs", appendix F; k-diffusion's ancestral sampling
    "euler_a": (diffusers.EulerAncestralDiscreteScheduler, _LINSPACE),
    # Karras et al. 2022, algorithm 2 without its churn, by the middle of each step: DPM-Solver-2 in sigma
    "kdpm2": (diffusers.KDPM2DiscreteScheduler, _LINSPACE),
    # the same, down further and back up by fresh noise
    "kdpm2_a": (diffusers.KDPM2AncestralDiscreteScheduler, _LINSPACE),
    # Lu et al. 2022, "DPM-Solver++", algorithm 1: "2S"; it knows one spacing, linspace
    "dpm++_2s": (diffusers.DPMSolverSinglestepScheduler, _SINGLE),
    # Lu et al. 2022, "DPM-Solver++", section 5: the stochastic equation by 2M and by 2S
    "dpm++_sde": (diffusers.DPMSolverMultistepScheduler, _LINSPACE | _SDE),
    "dpm++_2s_sde": (diffusers.DPMSolverSinglestepScheduler, _SINGLE | _SDE),
    # Xue et al. 2023, "SA-Solver", section 4
    "sa": (diffusers.SASolverScheduler, _LINSPACE),
}
NAMES = tuple(_MADE)
STOCHASTIC = ("ddpm", "euler_a", "kdpm2_a", "dpm++_sde", "dpm++_2s_sde", "sa")  # these draw noise on the way
_NEEDS = {"lms": "scipy"}

_KEPT = (  # what belongs to the trained model, not to the scheduler
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr",
    "prediction_type", "clip_sample", "clip_sample_range", "thresholding", "dynamic_thresholding_ratio",
    "sample_max_value", "set_alpha_to_one", "steps_offset",
)  # fmt: skip

_EDM = "it scales what goes in and out of the network as EDM does (Karras et al. 2022, table 1), unlike its training"
_FLOW = "it is for flow matching, another process: a network that predicts a velocity from noise to data"
_DISTILLED = "it is for networks that were distilled to jump to the end at once, and this one was not"
_TOKENS = "it chooses tokens; these latents are numbers"
_BACKWARD = "it goes from a video to its noise"
_REFUSED = {  # the class of diffusers, without "Scheduler" -> why it does not run with this pipeline
    **dict.fromkeys(("EDMEuler", "EDMDPMSolverMultistep", "CosineDPMSolverMultistep"), _EDM),
    **dict.fromkeys(("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete", "FlowMatchLCM"), _FLOW),
    **dict.fromkeys(("LTXEulerAncestralRF", "MiniMaxH3", "Helios", "HeliosDMD", "RFD4Proteina"), _FLOW),
    **dict.fromkeys(("LCM", "TCD", "SCM", "CMStochasticIterative", "FlowMapEulerDiscrete", "Piflow"), _DISTILLED),
    **dict.fromkeys(("VQDiffusion", "Amused", "DiscreteDDIM", "BlockRefinement", "EntropyBound"), _TOKENS),
    **dict.fromkeys(("DDIMInverse", "DPMSolverMultistepInverse"), _BACKWARD),
    "DPMSolverSDE": "it needs the package torchsde; dpm++_sde and dpm++_2s_sde solve such an equation without it",
    "IPNDM": "it brings a noise schedule of its own and leaves the model's aside",
    "CogVideoXDDIM": "it shifts the noise schedule, and this model was not trained so; on the model's own it is ddim",
    "CogVideoXDPM": "it shifts the noise schedule, and this model was not trained so",
    "UnCLIP": "it has only the cosine schedule, and this model was trained on another",
    "DDPMWuerstchen": "its times run from 0 to 1, and this model counts training steps",
    "DDIMParallel": "it takes the steps of ddim, and is for pipelines that take many of them side by side",
    "DDPMParallel": "it takes the steps of ddpm, and is for pipelines that take many of them side by side",
    "RePaint": "it fills a hole in a given image, and asks for both at each step",
    "ScoreSdeVe": "its noise grows while the signal stays, and this model was trained on signal that shrinks",
    "KarrasVe": "its noise grows while the signal stays, and this model was trained on signal that shrinks",
    "ConsistencyDecoder": "it is a part of a decoder, not of a pipeline",
}


def _bare(name: str) -> str:
    """edm_euler, EDM-Euler and EDMEulerScheduler are one: edmeuler."""
    return "".join(letter for letter in str(name).lower() if letter.isalnum()).removesuffix("scheduler")


_OURS = dict(reversed({_bare(cls.__name__): name for name, (cls, _) in reversed(_MADE.items())}.items()))
_OTHERS = {_bare(cls): "nobody has tried it here yet" for cls in dir(diffusers) if cls.endswith("Scheduler")}
_REASONS = _OTHERS | {_bare(cls): reason for cls, reason in _REFUSED.items()}


def _looked_up(name: str, table: dict[str, str]) -> str:
    """The entry of that class of diffusers, or of the first that begins so; "" if there is none."""
    bare = _bare(name)
    begun = (key for key in table if len(bare) > 5 and key.startswith(bare))
    return table.get(bare) or table.get(next(begun, ""), "")


def check_name(name: str) -> str:
    """Give the name back. ValueError: not one of NAMES; says which was probably meant, or why it is refused."""
    if name in NAMES:
        return name
    choice = f"use one of {', '.join(NAMES)}."
    ours = _looked_up(name, _OURS)
    if not ours and (reason := _looked_up(name, _REASONS)):
        raise ValueError(f"scheduler={name!r} does not run with this pipeline: {reason}; {choice}")
    near = get_close_matches(str(name).lower().replace("pp", "++"), NAMES, n=1)
    meant = f"did you mean {ours or near[0]!r}? " if ours or near else ""
    raise ValueError(f"scheduler={name!r} is unknown: {meant}{choice}")


def make(name: str, config: dict, spacing: str | None = None, **options) -> diffusers.SchedulerMixin:
    """A fresh scheduler of that name on the noise schedule in `config` (`pipe.scheduler.config`).

    `spacing` None is the name's own, see `table`. `options` are the class's, such as use_karras_sigmas or solver_order.
    ValueError: unknown or refused name, unknown spacing, an option that the scheduler would ignore or that would change
    what was trained. ImportError: "lms" without scipy.
    """
    cls, settings = _MADE[check_name(name)]
    if not isinstance(config, Mapping):
        raise ValueError(f"config is a {type(config).__name__}: give pipe.scheduler.config.")
    _check_options(name, spacing, options)
    chosen = settings | ({"timestep_spacing": spacing} if spacing and _knows(name, "timestep_spacing") else {})
    defaults = config.get("_use_default_values", ())  # of the class that was there before, not of the model
    trained = {key: config[key] for key in _KEPT if key in config and key not in defaults}
    return cls.from_config(trained, **chosen, **options)


def spacing_of(name: str) -> str:
    """How the time steps of that name are spaced where nothing else is asked for. ValueError: see `check_name`."""
    return _MADE[check_name(name)][1].get("timestep_spacing", "linspace")


def _knows(name: str, option: str) -> bool:
    return option in inspect.signature(_MADE[name][0].__init__).parameters


def _check_options(name: str, spacing: str | None, options: dict) -> None:
    if spacing is not None and spacing not in SPACINGS:
        raise ValueError(f"spacing={spacing!r} is unknown: use one of {', '.join(SPACINGS)}.")
    if spacing not in (None, spacing_of(name)) and not _knows(name, "timestep_spacing"):
        raise ValueError(
            f"spacing={spacing!r} is not known to {name}, which has {spacing_of(name)!r} alone: leave it out."
        )
    spaced = [option for option in _SIGMAS if options.get(option)]
    if len(spaced) > 1:
        raise ValueError(f"{' and '.join(spaced)} exclude each other: give one of them.")
    for option in _ENDS & options.keys():
        if not spaced and _knows(name, option):
            raise ValueError(f"{option} would be ignored by {name}: leave it out, or add use_karras_sigmas=True.")
    for option in options:
        if option in _KEPT:
            raise ValueError(f"{option} belongs to the trained model and is kept: leave it out.")
        if option == "timestep_spacing":
            raise ValueError("timestep_spacing is called spacing here: give spacing=...")
        if not _knows(name, option):
            able = [other for other in NAMES if _knows(other, option)]
            instead = f"use it with one of {', '.join(able)}" if able else "no scheduler here knows it"
            raise ValueError(f"{option} would be ignored by {name}: leave it out, or {instead}.")
        _check_value(name, option, options[option])


def _check_value(name: str, option: str, value) -> None:
    """diffusers takes most values as they come, and goes on with another or stops half-way."""
    default = inspect.signature(_MADE[name][0].__init__).parameters[option].default
    if option == "solver_order" and (not isinstance(value, int) or value not in (1, 2, 3)):
        raise ValueError(f"solver_order={value!r} is not allowed for {name}: use 1, 2 or 3.")
    if isinstance(default, bool | str) and type(value) is not type(default):
        kind = type(default).__name__
        raise ValueError(f"{option}={value!r} is not allowed for {name}: give a {kind}, such as {default!r}.")
    allowed = _VALUES.get(option) or _KINDS.get(default if isinstance(default, str) else None, (value,))
    if isinstance(default, str) and value not in allowed:
        raise ValueError(f"{option}={value!r} is unknown to {name}: use one of {', '.join(allowed)}.")


@lru_cache(maxsize=4096)
def _times(name: str, steps: int, spacing: str | None = None, train: int = 1000, offset: int = 1) -> tuple[float, ...]:
    """The time of every call of the network. Cached: a sweep asks for thousands; some classes take 0.2 s to make."""
    made = make(name, {"num_train_timesteps": train, "steps_offset": offset}, spacing)
    made.set_timesteps(steps)
    return tuple(made.timesteps.tolist())


def check_steps(name: str, steps: int, config: dict, spacing: str | None = None) -> int:
    """Give `steps` back, if that scheduler can take so many.

    ValueError: not from 1 to the number of training timesteps; or, with this spacing, so few that it starts where
    there is hardly any noise to remove, or so many that diffusers runs into an error or a division by 0 on the way.
    """
    train, offset = config["num_train_timesteps"], config.get("steps_offset", 0)
    if not isinstance(steps, Integral) or not 1 <= steps <= train:
        raise ValueError(f"steps={steps!r} is out of range: use 1 to {train}, the number of training timesteps.")
    times = _times(check_name(name), steps, spacing, train, offset)
    given = f"steps={steps} of {name} with spacing={spacing or spacing_of(name)!r}"
    if times[0] >= train or times[-1] < 0:
        raise ValueError(f"{given} go from time {times[0]:g} to {times[-1]:g}, outside 0 to {train - 1}: use fewer.")
    if len(set(times)) < steps:
        raise ValueError(f"{given} stand so close that some fall on the same time: use fewer.")
    if times[0] < train / 2:
        raise ValueError(f"{given} start at time {times[0]:g}, where little noise is left to remove: use more.")
    return steps


def unet_calls(name: str, steps: int) -> int:
    """How often the UNet is called for that many steps: the cost to compare schedulers at.

    PNDM takes its second step twice to start its history; Heun and KDPM2 look ahead in every step but the last.
    ValueError: an unknown or refused name, steps below 1.
    """
    check_name(name)
    if not isinstance(steps, int) or not 1 <= steps <= 1000:
        raise ValueError(f"steps={steps!r} is not allowed: give a whole number, 1 or more, up to 1000.")
    return len(_times(name, steps))


class Row(NamedTuple):
    """One scheduler, run for `steps` steps: the calls of the UNet, first and last time, by how much noise is scaled."""

    name: str
    steps: int
    calls: int
    spacing: str
    first: float
    last: float
    init_sigma: float
    stochastic: bool
    needs: str


def table(config: dict, steps: int = 50, spacing: str | None = None) -> list[Row]:
    """What every scheduler does on the noise schedule in `config`, found by running it (without a UNet).

    A name that does not know `spacing` keeps its own. ValueError: see `check_steps` and `make`.
    """
    return [_row(name, config, steps, spacing if _knows(name, "timestep_spacing") else None) for name in NAMES]


def _row(name: str, config: dict, steps: int, spacing: str | None) -> Row:
    check_steps(name, steps, config, spacing)
    made, ends = make(name, config, spacing), [_end(name, config, steps, spacing, seed) for seed in (0, 1)]
    made.set_timesteps(steps)
    times = made.timesteps.tolist()
    return Row(
        name, steps, len(times), spacing or spacing_of(name), times[0], times[-1], float(made.init_noise_sigma),
        not torch.equal(*ends), _NEEDS.get(name, ""),
    )  # fmt: skip


def _end(name: str, config: dict, steps: int, spacing: str | None, seed: int) -> torch.Tensor:
    """Where a sample of ones arrives when the network always says 0: it depends on the seed where noise is drawn."""
    made, x = make(name, config, spacing), torch.ones(1, 1, 2, 2)
    made.set_timesteps(steps)
    takes = inspect.signature(made.step).parameters
    extra = {"generator": torch.Generator().manual_seed(seed)} if "generator" in takes else {}
    for t in made.timesteps:
        made.scale_model_input(x, t)
        x = made.step(torch.zeros_like(x), t, x, **extra).prev_sample
    return x


def text(rows: list[Row]) -> str:
    """The table in plain columns, a line for each row under a line of titles."""
    lines = [[title.replace("_", " ") for title in Row._fields], *([_word(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _word(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:.6g}"
