"""Hold what a run left against the committed tolerances: is the course, on this device, what it should be?

    make run && make tolerances        T2V_MODEL=modelscope before both: the real model

Reads the outputs of `make run` (run.json, the ledger, the videos with their records), measures them, and compares with
benchmarks/tolerances.json, which says what each limit means. Numbers that were made on another device, or in another
dtype, need not be equal; they must lie inside.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from t2v_helpers.core import arguments, paths, video
from t2v_helpers.core.records import GenerationRecord
from t2v_helpers.course import blog
from t2v_helpers.course.run import outputs_folder
from t2v_helpers.model import generate, loading

TABLE = paths.BENCHMARKS / "tolerances.json"
LEDGER = Path("11_ledger", "ledger.json")


def limits(model: str, table: str | Path = TABLE) -> dict[str, dict]:
    """The committed limits of a model: measure -> {"least" or "most": number, "means": words}.

    Errors: FileNotFoundError; ValueError: no limits for that model.
    """
    models_of = json.loads(Path(table).read_text(encoding="utf-8"))
    if model not in models_of:
        raise ValueError(f"model={model!r} has no tolerances: use one of {', '.join(models_of)}.")
    return models_of[model]


def measure(outputs: str | Path, model: str) -> dict[str, float]:
    """What a run left in `outputs`, as numbers; the last two for the cartoon model alone.

    Errors: FileNotFoundError: no run, no ledger or no video there; ValueError: a damaged one.
    """
    results, rows = _results(Path(outputs) / "run.json"), blog.read(Path(outputs) / LEDGER)
    videos = recorded(outputs)
    found = {
        "failed notebooks": sum(bool(result["error"]) for result in results),
        "minutes": max(result["seconds"] for result in results) / 60,
        "memory in GiB": max(result["peak_memory_mib"] for result in results) / 1024,
        "videos": len(videos),
        "contrast": min(float(frames.std()) for frames, _ in videos.values()),
    }
    if model != "cartoon":
        return found
    verdicts = [row.verdict for row in rows if row.video]
    first = min(path for path in videos if path.parent == Path(outputs))
    return found | {
        "same words": verdicts.count(blog.SAME_WORDS) / len(verdicts),
        "grey levels": from_the_cpu(*videos[first]),
    }


def recorded(outputs: str | Path) -> dict[Path, tuple[np.ndarray, GenerationRecord]]:
    """The videos below `outputs` with a record: path -> (frames uint8 [f h w c], record). Errors: see `measure`."""
    paths = sorted(path for path in Path(outputs).rglob("*.mp4") if path.with_suffix(".json").is_file())
    if not paths:
        raise FileNotFoundError(f"{outputs} holds no video with its record: run the notebooks first, with `make run`.")
    return {path: (video.read_mp4(path), GenerationRecord.load(path)) for path in paths}


def from_the_cpu(frames: np.ndarray, record: GenerationRecord) -> float:
    """Mean |difference|, in grey levels of 255, of a cartoon video [f h w c] and of the same spec made on this CPU."""
    pipe = loading.load("cartoon", device="cpu", dtype="float32", quiet=True)
    ours = generate.generate(pipe, record.spec).frames
    return blog.grey_levels(video.enlarge(ours, frames.shape[1] // ours.shape[1]), frames)


def report(found: Mapping[str, float], allowed: Mapping[str, Mapping]) -> tuple[str, list[str]]:
    """A line for each limit, and the names of the measures that are outside, or were not measured."""
    lines, outside = [], []
    for name, limit in allowed.items():
        value = found.get(name, float("nan"))
        inside = limit.get("least", -np.inf) <= value <= limit.get("most", np.inf)  # False for NaN
        outside += [] if inside else [name]
        bounds = ", ".join(f"at {side} {limit[side]:g}" for side in ("least", "most") if side in limit)
        lines.append(f"{'ok     ' if inside else 'OUTSIDE'} {name}: {value:.3g} ({bounds}): {limit['means']}")
    return "\n".join(lines), outside


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Exit status 0; 1 where something is outside; 2 with one sentence where there is nothing to hold."""
    p = arguments.Parser(
        prog="python -m t2v_helpers.course.tolerances", description="Hold a run against the tolerances."
    )
    p.add_argument("--outputs", type=arguments.path, help="what `make run` left (outputs, or what T2V_OUTPUTS says)")
    p.add_argument(
        "--model", default=os.environ.get("T2V_MODEL", "cartoon"), help="the model of that run (%(default)s)"
    )
    options = p.parse_args(argv)
    try:
        allowed = limits(options.model)
        lines, outside = report(measure(outputs_folder(options.outputs), options.model), allowed)
    except (ValueError, OSError, MemoryError) as error:
        print(f"{p.prog}: {error}", file=sys.stderr)
        return 2
    print(lines)
    return 1 if outside else 0


def _results(path: Path) -> list[dict]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: run the notebooks first, with `make run`.")
    return json.loads(path.read_text(encoding="utf-8"))["notebooks"]


if __name__ == "__main__":
    sys.exit(main())
