"""A student's folder: a UNet and a scheduler of few steps; every other part is its teacher's.

Students by latent consistency are published so: latent-consistency/lcm-sdxl is a UNet for its teacher's pipeline. A
student reads words by the text encoder of its teacher, which was trained along with the teacher's UNet, and no two
trainings leave the same one. So teacher.json keeps that one's `digits`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2v_helpers.core import checking, tensors
from t2v_helpers.diffusion import schedulers
from t2v_helpers.diffusion.schedulers import SchedulerMixin
from t2v_helpers.inside import identity
from t2v_helpers.model.folders import manifests
from t2v_helpers.model.folders.rules import KIND_OF, TEACHER, check_student, config_of, damaged, kinds, read, scheduler
from t2v_helpers.model.folders.weights import bare, files_of, read_alone, variant

_PART, _UNET, _READER = "text_encoder", KIND_OF["unet"], KIND_OF["text_encoder"]


def digits(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a text encoder's weights, to the digits that are left in float16 and then in bfloat16.

    So it is the same in whichever of these they are stored or loaded.
    """
    named = {_READER.today(name): x.half().bfloat16() for name, x in weights.items()}
    told = [f"{name} {identity.told(named[name])}" for name in sorted(named.keys() - {None})]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def reads_by(folder: Path) -> str:
    """The `digits` of the text encoder in a model's folder, or of that which a student's folder needs.

    ValueError: the folder is neither, or damaged.
    """
    if (folder / TEACHER).exists():
        check_student(folder)
        return checking.kind(f"{folder / TEACHER}: {_PART}", read(folder / TEACHER).get(_PART), str, "a text")
    part = {_PART: kinds(folder)[_PART]}
    stored = variant(folder, torch.float16, part)
    return digits(tensors.read(files_of(folder / _PART, part[_PART], stored), today=_READER.today))


def check_taught(folder: Path, teacher: str, by: str) -> None:
    """ValueError unless the student in a folder reads by the text encoder with these `digits`, its teacher's."""
    if reads_by(folder) != by:
        what = f"the student in {folder} was not taught by {teacher}, since they read words by different weights"
        raise ValueError(f"{what}: distil it again from this model.")


def bare_student(folder: Path, teacher: Any) -> torch.nn.Module:
    """The student's UNet without weights; `teacher` has the parts with which it must work. ValueError: it does not."""
    config, where = config_of(folder / "unet", _UNET), folder / "unet" / "config.json"
    channels, width = teacher.vae.config.latent_channels, teacher.text_encoder.config.hidden_size
    for key, needed in {"in_channels": channels, "out_channels": channels, "cross_attention_dim": width}.items():
        if config[key] != needed:
            raise damaged(f"{where} has {key}={checking.shown(config[key])}, but its teacher needs {needed}")
    return bare(_UNET, config, folder / "unet")


def student_scheduler(folder: Path) -> SchedulerMixin:
    """The student's scheduler. ValueError: it is not one of few steps; those of `scheduler`."""
    path = folder / "scheduler" / "scheduler_config.json"
    found = scheduler(path)
    if not schedulers.of_student(found):
        raise damaged(f"{path} is no student's: that is LCMScheduler, or DDIMScheduler with 'trailing' spacing")
    return found


def student(folder: Path, teacher: Any) -> dict[str, Any]:
    """ "unet", with the dtype and device of the teacher's, and "scheduler", after all that can be wrong was looked at.

    ValueError: damaged, or made for other parts than the teacher's.
    """
    check_student(folder)
    if (folder / manifests.MANIFEST).exists():
        manifests.check(folder)
    bare_student(folder, teacher)
    own = {"scheduler": student_scheduler(folder)}
    return own | {"unet": read_alone(folder / "unet", _UNET, teacher.unet.dtype).to(teacher.unet.device)}
