"""The names of models: the one list, from which every command, message and table takes them."""

from dataclasses import dataclass
from pathlib import Path

from t2v_helpers.core import paths


@dataclass(frozen=True)
class Model:
    """The hardware that a model asks for, and its folder; None: it lies on the hub (see model/hub.py)."""

    hardware: str
    folder: Path | None = None


MODELS = {
    "cartoon": Model("a laptop, no GPU", paths.WEIGHTS / "model"),
    "modelscope": Model("a ROCm or CUDA GPU"),
}
CHOICES = f"{', '.join(MODELS)} or a folder"
