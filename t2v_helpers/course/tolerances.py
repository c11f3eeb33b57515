"""Compare a run of the course with the committed tolerances: does the course work on this device?

    make run && make tolerances        with T2V_MODEL=modelscope before both: the real model

Measures the outputs of `make run` (run.json, the ledger, the videos with their records) and compares them with
benchmarks/tolerances.json, which explains each limit. On another device or in another dtype the numbers need not be
equal; they must lie within the limits.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from t2v_helpers.core import arguments, paths, video
from t2v_helpers.core.checking import one_of
from t2v_helpers.core.files import read_json
from t2v_helpers.core.records import GenerationRecord
from t2v_helpers.course import blog, costs
from t2v_helpers.course.run import outputs_folder
from t2v_helpers.model import generate, loading

TABLE = paths.BENCHMARKS / "tolerances.json"


def limits(model: str) -> dict[str, dict]:
    """The committed limits of a model: measure -> {"least" or "most": number, "means": words}.

    ValueError: no limits for that model.
    """
    limits_of = read_json(TABLE)
    return limits_of[one_of("model", model, limits_of)]


def measure(outputs: str | Path, model: str) -> dict[str, float]:
    """The outputs of a run as numbers, the last two for the cartoon model alone.

    Errors: FileNotFoundError: no run, ledger or video in `outputs`; ValueError: a damaged one.
    """
    results, rows = costs.read_run(Path(outputs) / "run.json"), blog.read(Path(outputs) / "11_ledger" / "ledger.json")
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
    """Mean |difference|, in grey levels of 255, of a cartoon video [f h w c] and the same spec made on this CPU."""
    pipe = loading.load("cartoon", device="cpu", dtype="float32", quiet=True)
    ours = generate.generate(pipe, record.spec).frames
    return blog.grey_levels(video.enlarge(ours, frames.shape[1] // ours.shape[1]), frames)


def report(found: Mapping[str, float], allowed: Mapping[str, Mapping]) -> tuple[str, list[str]]:
    """A line for each limit, and the names of the measures that lie outside it or are missing."""
    lines, outside = [], []
    for name, limit in allowed.items():
        value = found.get(name, float("nan"))
        inside = limit.get("least", -np.inf) <= value <= limit.get("most", np.inf)  # False for NaN
        outside += [] if inside else [name]
        bounds = ", ".join(f"at {side} {limit[side]:g}" for side in ("least", "most") if side in limit)
        lines.append(f"{'ok     ' if inside else 'OUTSIDE'} {name}: {value:.3g} ({bounds}): {limit['means']}")
    return "\n".join(lines), outside


def main(argv: Sequence[str] | None = None) -> int:
    """`t2v tolerances`: returns 1 where something is outside. Errors: see `limits` and `measure`."""
    p = arguments.Parser(prog="t2v tolerances", description="Compare a run of the course with the tolerances.")
    p.add_argument("--outputs", type=arguments.path, help="what `make run` left (outputs, or $T2V_OUTPUTS)")
    p.add_argument("--model", default=os.environ.get("T2V_MODEL", "cartoon"), help="its model (%(default)s)")
    options = p.parse_args(argv)
    allowed = limits(options.model)
    lines, outside = report(measure(outputs_folder(options.outputs), options.model), allowed)
    print(lines)
    return 1 if outside else 0
