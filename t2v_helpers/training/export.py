"""Write trained parts as folders that the published classes open: fp16, safetensors, all or nothing."""

import json
from pathlib import Path

from t2v_helpers.core import checking, files
from t2v_helpers.core.model_names import MODELS
from t2v_helpers.model import folders
from t2v_helpers.model.folders import manifests
from t2v_helpers.model.pipeline import NAMES, Base
from t2v_helpers.training.denoiser import SCHEDULE, new_scheduler

MODEL, STUDENT = MODELS["cartoon"].folder, MODELS["cartoon"].student
MOST_BYTES = 20 * 2**20


def as_pipeline(vae, unet, text_encoder, tokenizer, scaling_factor: float, schedule: dict = SCHEDULE) -> Base:
    """The parts as a TextToVideoSDPipeline; the VAE's configuration takes the scaling factor."""
    vae.register_to_config(scaling_factor=scaling_factor)
    scheduler = new_scheduler(schedule)
    return Base(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler)


def export(pipe: Base, folder: Path = MODEL, schedule: dict = SCHEDULE) -> None:
    """Write the pipeline in fp16 with a manifest, in place of the model in `folder`, if there is one.

    schedule: the whole scheduler_config.json. Errors: ValueError where the folder would be larger than 20 MiB; those of
    `check_target`.
    """
    check_target(folder)
    files.replace_folder(folder, lambda new: _write_pipeline(pipe, new, schedule))


def export_student(pipe: Base, schedule: dict, folder: Path = STUDENT) -> None:
    """Write the pipeline's UNet and the schedule as `export` would; the other parts stay those of its teacher.

    teacher.json says which text encoder that has. Errors: those of `export`.
    """
    check_target(folder)
    files.replace_folder(folder, lambda new: _write_student(pipe, new, schedule))


def check_target(folder: Path, *kept: Path) -> None:
    """Check before a long training that a model may replace `folder`. Errors: see checking.replaceable."""
    checking.replaceable(folder, "model_index.json", "the model (--out)", *kept, known=NAMES)


def write_folder(folder: Path, *parts) -> None:
    """Write each part by its `save_pretrained` into `folder`, with a manifest; it replaces what is there."""

    def write(new: Path) -> None:
        for part in parts:
            part.save_pretrained(new)
        manifests.write(new)

    files.replace_folder(folder, write)


def _write_pipeline(pipe: Base, folder: Path, schedule: dict) -> None:
    for part in (pipe.vae, pipe.unet, pipe.text_encoder):
        part.half()
    pipe.save_pretrained(folder)
    _finish(folder, schedule)


def _write_student(pipe: Base, folder: Path, schedule: dict) -> None:
    own = Base(**pipe.components | {"scheduler": new_scheduler(schedule)})
    own.register_modules(**dict.fromkeys(folders.LENT))
    own.save_config(folder)  # model_index.json, with null for what is not here
    own.unet.half().save_pretrained(folder / "unet")
    lent = {"text_encoder": folders.digits(pipe.text_encoder.state_dict())}
    files.write_text(folder / folders.TEACHER, json.dumps(lent, indent=2) + "\n")
    _finish(folder, schedule)


def _finish(folder: Path, schedule: dict) -> None:
    """The schedule and the manifest. ValueError: too large."""
    # diffusers adds its own defaults here, and other schedulers would take them for choices of the model
    files.write_text(folder / "scheduler" / "scheduler_config.json", json.dumps(schedule, indent=2) + "\n")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if size > MOST_BYTES:
        raise ValueError(f"the model has {size} bytes, but at most {MOST_BYTES} are allowed: make it smaller.")
    manifests.write(folder)
