"""Keep a long training's averaged weights in half precision, and go on from them on another machine.

    python checkpoints/keep.py pack runs      # runs/STAGE/checkpoint.safetensors -> checkpoints/STAGE.safetensors
    python checkpoints/keep.py unpack runs    # the way back, for stages that runs/ does not have

A packed checkpoint is an eighth of the full one. What is lost is the optimizer's momentum, which a few steps restore,
and the weights before averaging: the training goes on from the average.
"""

import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from t2v_helpers.core.files import read_text, write_text, write_whole

HERE = Path(__file__).parent


def pack(runs: Path) -> None:
    """The averages of all checkpoints below `runs`, in fp16, and their logs."""
    for path in sorted(runs.glob("*/checkpoint.safetensors")):
        with safe_open(str(path), "pt") as file:
            names = [name for name in file.keys() if name.startswith("average/")]  # noqa: SIM118
            tensors, about = {name: file.get_tensor(name).half() for name in names}, file.metadata()
        write_whole(HERE / f"{path.parent.name}.safetensors", lambda p, t=tensors, a=about: save_file(t, p, metadata=a))
        write_text(HERE / f"{path.parent.name}.jsonl", read_text(path.with_name("log.jsonl")))


def unpack(runs: Path) -> None:
    """Full checkpoints below `runs` of the packed ones here; a stage that `runs` has already is left alone."""
    for path in sorted(HERE.glob("*.safetensors")):
        target = runs / path.stem / "checkpoint.safetensors"
        if target.exists():
            continue
        with safe_open(str(path), "pt") as file:
            about = file.metadata()
        average = {name: x.float() for name, x in load_file(str(path)).items()}
        weights = {name.replace("average/", "weights/", 1): x.clone() for name, x in average.items()}
        about["tensors"] = str(2 * len(average))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, lambda p, t=average | weights, a=about: save_file(t, p, metadata=a))
        write_text(target.with_name("log.jsonl"), read_text(path.with_suffix(".jsonl")))


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](Path(sys.argv[2]))
