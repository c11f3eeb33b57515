"""Schedulers by name, each made on the noise schedule of the pipeline's own (this module wraps diffusers).

What was trained is kept: the betas, the kind of prediction, how x_0 is clipped. The rest is the name's own, whatever
scheduler the pipeline had before; so is the spacing of the time steps:

    scheduler = make("euler", pipe.scheduler.config)

The names are listed in scheduler_list.py; why other classes of diffusers do not run here, refused.json says.
"""

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from t2v_helpers.core import checking, files, paths
from t2v_helpers.core.importing import quickly
from t2v_helpers.diffusion.scheduler_list import SCHEDULERS

with quickly():
    import diffusers
    from diffusers import SchedulerMixin

NAMES = tuple(SCHEDULERS)
STOCHASTIC = tuple(name for name, scheduler in SCHEDULERS.items() if scheduler.stochastic)

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


def make(name: str, config: Mapping) -> SchedulerMixin:
    """A fresh scheduler of that name on the noise schedule in `config` (`pipe.scheduler.config`).

    ValueError: an unknown or refused name, no config. ImportError: "lms" without scipy.
    """
    check_name(name)
    checking.kind("config", config, Mapping, "pipe.scheduler.config")
    chosen = SCHEDULERS[check_model(name, config)]
    cls = getattr(diffusers, chosen.cls)
    spaced = "timestep_spacing" in inspect.signature(cls.__init__).parameters
    own = {"timestep_spacing": chosen.spacing} if spaced else {}
    return build(cls, trained(config), **own, **chosen.options)


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


@lru_cache(maxsize=4096)
def _times(name: str, steps: int, train: int = 1000, offset: int = 1, original: int = 1000) -> tuple[float, ...]:
    """The time of every call of the network; cached, since a sweep asks for thousands, and some take 0.2 s."""
    config = {"num_train_timesteps": train, "steps_offset": offset, "original_inference_steps": original}
    made = make(name, config)
    made.set_timesteps(steps)
    return tuple(made.timesteps.tolist())


def check_steps(name: str, steps: int, config: dict) -> int:
    """`steps`, if that scheduler can take so many.

    ValueError: not from 1 to the number of training timesteps; or, with its spacing, so few that it starts where
    hardly any noise is left, or so many that diffusers fails or divides by 0 on the way.
    """
    train, offset = config["num_train_timesteps"], config.get("steps_offset", 0)
    chosen = SCHEDULERS[check_model(name, config)]
    most = config[chosen.needs] if chosen.needs else train
    times = _times(name, checking.whole("steps", steps, 1, most), train, offset, most)
    given = f"steps={steps} of {name} with spacing={chosen.spacing!r}"
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
