"""Schedulers by name, each made on the noise schedule of the pipeline's own (this module wraps diffusers).

What was trained is kept: the betas, the kind of prediction, how x_0 is clipped. The rest is the name's own, whatever
scheduler the pipeline had before; so is the spacing of the time steps, unless `spacing` is given:

    scheduler = make("euler", pipe.scheduler.config, spacing="trailing")

The names are listed in scheduler_list.py; why other classes of diffusers do not run here, refused.json says.
"""

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from t2v_helpers.core import checking, files, paths
from t2v_helpers.core.importing import quickly
from t2v_helpers.diffusion.grids import SPACINGS
from t2v_helpers.diffusion.scheduler_list import SCHEDULERS

with quickly():
    import diffusers
    from diffusers import SchedulerMixin

NAMES = tuple(SCHEDULERS)
STOCHASTIC = tuple(name for name, scheduler in SCHEDULERS.items() if scheduler.stochastic)

_VALUES = {  # of options that diffusers does not check
    "final_sigmas_type": ("zero", "sigma_min"),
    "timestep_type": ("discrete", "continuous"),
    "interpolation_type": ("linear", "log_linear"),
    "variance_type": ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
}
_KINDS = {  # of solvers: the default shows which others the class has; diffusers stops at the rest, or ignores them
    "dpmsolver++": ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"),
    "midpoint": ("midpoint", "heun"),
    "bh2": ("bh1", "bh2"),
}
_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")  # one at a time
_ENDS = ("sigma_min", "sigma_max")  # where those spacings of sigma end; others ignore them
_KEPT = (  # what belongs to the trained model, not to the scheduler
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr",
    "prediction_type", "clip_sample", "clip_sample_range", "thresholding", "dynamic_thresholding_ratio",
    "sample_max_value", "set_alpha_to_one", "steps_offset", "original_inference_steps",
)  # fmt: skip


def _bare(name: str) -> str:
    """edm_euler, EDM-Euler and EDMEulerScheduler are one: edmeuler."""
    return "".join(letter for letter in str(name).lower() if letter.isalnum()).removesuffix("scheduler")


_OURS = {_bare(scheduler.cls): name for name, scheduler in reversed(SCHEDULERS.items())} | {"dpmpp": "dpm++"}
_OTHERS = {_bare(cls): "it has not been tried here" for cls in dir(diffusers) if cls.endswith("Scheduler")}
_REFUSED = files.read_json(paths.PACKAGE / "diffusion" / "refused.json")  # reason -> classes
_REASONS = _OTHERS | {_bare(cls): reason for reason, classes in _REFUSED.items() for cls in classes}


def _looked_up(name: str, table: dict[str, str]) -> str:
    """The entry of that class of diffusers, or of the first that begins so; "" if there is none."""
    bare = _bare(name)
    begun = (key for key in sorted(table) if len(bare) > 5 and key.startswith(bare))
    return table.get(bare) or table.get(next(begun, ""), "")


def check_name(name: str) -> str:
    """`name`, if it is one of NAMES. ValueError: what was probably meant, or why that scheduler is refused."""
    ours = _looked_up(name, _OURS)
    if name not in NAMES and not ours and (reason := _looked_up(name, _REASONS)):
        raise _unfit(name, reason)
    return checking.one_of("scheduler", name, NAMES, meant=ours)


def check_model(name: str, config: Mapping) -> str:
    """`name`, if it is one of NAMES that a model of this config can take. ValueError: see `check_name`."""
    if check_name(name) not in able(config):
        raise _unfit(name, _REASONS[_bare(SCHEDULERS[name].cls)])
    return name


def able(config: Mapping) -> tuple[str, ...]:
    """Those of NAMES that a model of this config can take."""
    return tuple(name for name, scheduler in SCHEDULERS.items() if not scheduler.needs or scheduler.needs in config)


def _unfit(name: str, reason: str) -> ValueError:
    known = ", ".join(able({}))
    return ValueError(f"scheduler={checking.shown(name)} does not run with this pipeline: {reason}; use {known}.")


def of_student(scheduler: SchedulerMixin) -> str:
    """The name of the scheduler by which a distilled model takes its few steps, by its folder's own; "" for others.

    A student of latent consistency has LCMScheduler; one of halving, DDIM from the last training step on, which alone
    would also fit a teacher whose last step is pure noise.
    """
    if isinstance(scheduler, diffusers.LCMScheduler):
        return "lcm"
    own, config = isinstance(scheduler, diffusers.DDIMScheduler), scheduler.config
    few = own and config.timestep_spacing == "trailing" and not config.rescale_betas_zero_snr
    return "ddim_trailing" if few else ""


def make(name: str, config: dict, spacing: str | None = None, **options) -> SchedulerMixin:
    """A fresh scheduler of that name on the noise schedule in `config` (`pipe.scheduler.config`).

    spacing: of the time steps, one of SPACINGS; None is the name's own. options: the class's, such as
    use_karras_sigmas or solver_order. ValueError: an unknown or refused name, an unknown spacing, an option that the
    scheduler would ignore or that would change what was trained. ImportError: "lms" without scipy.
    """
    check_name(name)
    checking.kind("config", config, Mapping, "pipe.scheduler.config")
    chosen = SCHEDULERS[check_model(name, config)]
    _check_options(name, spacing, options)
    spaced = {"timestep_spacing": spacing or chosen.spacing} if "timestep_spacing" in _defaults(name) else {}
    return build(getattr(diffusers, chosen.cls), trained(config), **spaced, **chosen.options, **options)


def build(cls: type, config: Mapping, **own) -> SchedulerMixin:
    """A scheduler of a class of diffusers; what the class does not read stays in its config, for other classes."""
    read = inspect.signature(cls.__init__).parameters.keys()
    made = cls(**{key: config[key] for key in config.keys() & read}, **own)
    made.register_to_config(**{key: config[key] for key in config.keys() - read})
    return made


def trained(config: Mapping) -> dict:
    """What a scheduler's config says of the trained model: its noise schedule, and what it predicts."""
    defaults = config.get("_use_default_values", ())  # of the class that was there before, not of the model
    return {key: config[key] for key in _KEPT if key in config and key not in defaults}


def resolved(config: Mapping) -> list[tuple[str, Any]]:
    """What `trained` says, with DDIM's defaults for what is left out: the same before and after a folder is saved."""
    ddim = make("ddim", config).config
    return [(key, ddim.get(key)) for key in _KEPT]


def spacing_of(name: str) -> str:
    """How that scheduler spaces its time steps by default. ValueError: see `check_name`."""
    return SCHEDULERS[check_name(name)].spacing


def _defaults(name: str) -> dict:
    """The options of that scheduler's class, and their defaults."""
    parameters = inspect.signature(getattr(diffusers, SCHEDULERS[name].cls).__init__).parameters
    return {option: parameter.default for option, parameter in parameters.items()}


def _check_options(name: str, spacing: str | None, options: dict) -> None:
    checking.one_of("spacing", spacing, (None, *SPACINGS))
    own = spacing_of(name)
    if spacing not in (None, own) and ("timestep_spacing" not in _defaults(name) or SCHEDULERS[name].needs):
        raise ValueError(f"spacing={checking.shown(spacing)} is not there: {name} has {own!r} alone, so leave it out.")
    spaced = [option for option in _SIGMAS if options.get(option)]
    if len(spaced) > 1:
        raise ValueError(f"{' and '.join(spaced)} exclude each other: give one of them.")
    for option, value in options.items():
        if refusal := _refusal(name, option, bool(spaced)):
            raise ValueError(f"{checking.listed(option)} {refusal}.")
        _check_value(option, value, _defaults(name)[option])


def _refusal(name: str, option: str, spaced: bool) -> str:
    """Why that scheduler does not take an option; "" if it does. spaced: by one of _SIGMAS."""
    if option in _KEPT:
        return "belongs to the trained model and is kept: leave it out"
    if option == "timestep_spacing":
        return "is called spacing here: give spacing=..."
    if option in _ENDS and option in _defaults(name) and not spaced:
        return f"would be ignored by {name}: leave it out, or add use_karras_sigmas=True"
    if option not in _defaults(name):
        able = [other for other in NAMES if option in _defaults(other)]
        instead = f"use it with one of {', '.join(able)}" if able else "no scheduler here has it"
        return f"would be ignored by {name}: leave it out, or {instead}"
    return ""


def _check_value(option: str, value, default) -> None:
    """Refuse what diffusers would replace by another value, or stop at halfway."""
    if option == "solver_order":
        checking.whole(option, value, 1, 3)
    elif isinstance(default, bool):
        checking.one_of(option, value, (False, True))
    elif isinstance(default, str):
        checking.one_of(option, value, _VALUES.get(option) or _KINDS.get(default, (value,)))
        checking.kind(option, value, str, "a text")


@lru_cache(maxsize=4096)
def _times(
    name: str, steps: int, spacing: str | None = None, train: int = 1000, offset: int = 1, original: int = 1000
) -> tuple[float, ...]:
    """The time of every call of the network; cached, since a sweep asks for thousands, and some take 0.2 s."""
    config = {"num_train_timesteps": train, "steps_offset": offset, "original_inference_steps": original}
    made = make(name, config, spacing)
    made.set_timesteps(steps)
    return tuple(made.timesteps.tolist())


def check_steps(name: str, steps: int, config: dict, spacing: str | None = None) -> int:
    """`steps`, if that scheduler can take so many.

    ValueError: not from 1 to the number of training timesteps; or, with this spacing, so few that it starts where
    hardly any noise is left, or so many that diffusers fails or divides by 0 on the way.
    """
    train, offset = config["num_train_timesteps"], config.get("steps_offset", 0)
    most = config[needs] if (needs := SCHEDULERS[check_model(name, config)].needs) else train
    times = _times(name, checking.whole("steps", steps, 1, most), spacing, train, offset, most)
    given = f"steps={steps} of {name} with spacing={spacing or spacing_of(name)!r}"
    if times[0] >= train or times[-1] < 0:
        raise ValueError(f"{given} go from time {times[0]:g} to {times[-1]:g}, outside 0 to {train - 1}: use fewer.")
    if len(set(times)) < steps:
        raise ValueError(f"{given} are so close that some fall on the same time: use fewer.")
    if times[0] < train / 2:
        raise ValueError(f"{given} start at time {times[0]:g}, where little noise is left to remove: use more.")
    return steps


def unet_calls(name: str, steps: int) -> int:
    """How often the UNet is called for that many steps: the cost by which to compare schedulers.

    PNDM takes its second step twice to start its history; Heun and KDPM2 look ahead in every step but the last.
    ValueError: an unknown or refused name, steps outside 1 to 1000.
    """
    return len(_times(check_name(name), checking.whole("steps", steps, 1, 1000)))
