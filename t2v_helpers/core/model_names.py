"""The names of models: the one list, from which every command, message and table takes them."""

from dataclasses import dataclass
from pathlib import Path

from t2v_helpers.core import paths


@dataclass(frozen=True)
class Model:
    """A model's folder; None: it lies on the hub (see model/hub.py). student: the folder of what it has taught, a UNet
    of few steps with its scheduler; None: it has taught none.
    """

    folder: Path | None = None
    student: Path | None = None


MODELS = {
    "cartoon": Model(paths.WEIGHTS / "model", paths.WEIGHTS / "student"),
    "modelscope": Model(),
}
CHOICES = f"{', '.join(MODELS)} or a folder"
WAN = "wan"  # no UNet: `t2v generate`, `t2v download` and notebook 14 alone take it, by model/later/wan.py
