"""What each knob gives: steps, guidance, frames and size turned one at a time, and what the judge reads then.

    python -m t2v_helpers.studies.knobs  # goes on where it was stopped; the table is benchmarks/knobs.jsonl

All knobs but one stay at BASE, so that a change has one cause. Every seed has one sentence, asked for at every value,
and its noise; only where a knob changes the shape of the latents (frames, size) is the noise another one.

The judge reads pictures of 64x64. Videos of another size are brought to that size first, and so all measures speak of
the video as it looks there. It learned from clips of 8 to 24 frames. So `drawn` says what it reads off a drawing of
the same sentence with as many frames, or as few pixels: what it misses there is not the model's fault.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import arguments, paths
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.metrics.estimates import Measure, of_share, of_values
from t2v_helpers.model import generate, loading
from t2v_helpers.studies import study

TABLE = paths.BENCHMARKS / "knobs.jsonl"
COMMAND = "python -m t2v_helpers.studies.knobs"
BASE = {"steps": 12, "guidance": loading.GUIDANCE["cartoon"], "frames": 8, "size": 64}
GRID = {  # BASE is part of each
    "steps": (1, 2, 4, 8, 12, 16, 25, 50, 100),
    "guidance": (1, 2, 3, 4, 5, 7, 9, 12, 15),
    "frames": (1, 2, 4, 8, 16, 24, 32, 48, 64),
    "size": (32, 48, 64, 96, 128),
}
DRAWN = ("frames", "size")  # the knobs that the judge, too, could stumble over
NUMBERS = ("flicker", "sharpness", "saturation")
SEEDS = 32
SENTENCES = 20_505  # the seed of the prompts; training, bench and comparison use other streams


# --- one seed


def item_of(seed: int, frames: int = BASE["frames"]) -> cartoon.Item:
    """The item of the cartoon world whose caption a seed is asked for, drawn with so many frames."""
    return cartoon.item(SENTENCES, seed, frames, split="all")


def spec_of(prompt: str, seed: int, knob: str = "steps", value: float | None = None) -> GenerationSpec:
    """BASE with one knob of GRID turned to `value`. ValueError: no such knob."""
    if knob not in GRID:
        raise ValueError(f"knob={knob!r} is unknown: turn one of {', '.join(GRID)}.")
    turned = BASE if value is None else BASE | {knob: value}
    asked = {name: turned[name] for name in ("steps", "guidance", "frames")}
    return GenerationSpec(prompt, seed=seed, height=turned["size"], width=turned["size"], **asked)


def line(pipe, seed: int, grid: dict[str, tuple] = GRID) -> dict:
    """What each knob gives for one seed: {"seed", "prompt", "found": {knob: {value: `measured`}}, "drawn"}.

    drawn: {knob: {value: labels}}, what the judge reads off drawings, for DRAWN.
    """
    item, made = item_of(seed), {}
    found, drawn = {knob: {} for knob in grid}, {knob: {} for knob in grid if knob in DRAWN}
    for knob, values in grid.items():
        for value in values:
            spec = generate.resolve(pipe, spec_of(item.caption, seed, knob, value))
            if spec not in made:  # BASE stands in every row of the grid, and is made once
                made[spec] = measured(generate.generate(pipe, spec).frames, item.labels)
            found[knob][str(value)] = made[spec]
            if knob in DRAWN:
                drawn[knob][str(value)] = drawn_labels(seed, knob, value)
    return {"seed": seed, "prompt": item.caption, "found": found, "drawn": drawn}


def measured(frames: np.ndarray, asked: cartoon.Labels) -> dict:
    """Labels and NUMBERS of a video uint8 [f h w c]; flicker is None for one frame, which cannot flicker."""
    seen = resized(frames)
    return {
        "labels": labels(seen, asked),
        "flicker": round(metrics.flicker(seen), 6) if len(seen) > 1 else None,
        "sharpness": round(metrics.sharpness(seen), 2),
        "saturation": round(saturation(seen), 4),
    }


def labels(seen: np.ndarray, asked: cartoon.Labels) -> str:
    """A digit for each label of a video uint8 [f 64 64 c]: 1011 says that subject, place and style were read as asked,
    and action not."""
    (found,) = metrics.read(seen[None])
    return "".join(str(int(getattr(found, label) == getattr(asked, label))) for label in metrics.LABELS)


def drawn_labels(seed: int, knob: str, value: int) -> str:
    """What the judge reads off a drawing of that many frames, or made that small and brought back."""
    if knob == "frames":
        return labels(item_of(seed, value).frames, item_of(seed).labels)
    item = item_of(seed)
    return labels(resized(resized(item.frames, value)), item.labels)


def resized(frames: np.ndarray, size: int = BASE["size"]) -> np.ndarray:
    """A video uint8 [f h w c] in another size, by straight lines between pixels, or means of them where it shrinks."""
    if frames.shape[1:3] == (size, size):
        return frames
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float()  # [f c h w]
    images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()  # [f h w c]


def saturation(frames: np.ndarray) -> float:
    """How colourful a video uint8 [f h w c] is, 0 to 1: (max - min) / max over the colours of a pixel, on average."""
    top, bottom = frames.max(axis=-1).astype(np.float64), frames.min(axis=-1)
    return float(np.mean((top - bottom) / np.maximum(top, 1)))


# --- the table


def make(pipe, seeds: Iterable[int], table: Path = TABLE) -> Path:
    """Add the line of every seed that the table lacks, each written when it is done. Errors: those of `study.make`."""
    head = {"command": COMMAND, "weights": study.weights(), "base": BASE, "scheduler": spec_of("", 0).scheduler}
    return study.make(table, head, seeds, lambda seed: line(pipe, seed), "knobs")


def about(table: Path = TABLE) -> dict:
    """The first line of the table: how it was made."""
    return study.read(table, COMMAND)[0]


def load(table: Path = TABLE) -> list[dict]:
    """The lines of the seeds. Errors: FileNotFoundError (not made yet), ValueError (no such table)."""
    return study.read(table, COMMAND)[1:]


def adherence(
    lines: list[dict], knob: str, value: float, label: str = metrics.ALL_FOUR, part: str = "found"
) -> Measure:
    """The share of seeds whose video shows what was asked, with Wilson's 95 % interval; part="drawn": of drawings."""
    cells = _cells(lines, knob, value, part)
    words = [cell["labels"] if part == "found" else cell for cell in cells]
    counted = [w == "1111" if label == metrics.ALL_FOUR else w[metrics.LABELS.index(label)] == "1" for w in words]
    return of_share(metrics.Share(sum(counted), len(counted)))


def mean(lines: list[dict], knob: str, value: float, name: str) -> Measure:
    """The mean of one of NUMBERS over the seeds, with its 95 % interval. ValueError: it was not measured there."""
    return of_values(numbers(lines, knob, value, name))


def numbers(lines: list[dict], knob: str, value: float, name: str) -> list[float]:
    """One of NUMBERS for each seed. ValueError: it was not measured there."""
    found = [cell.get(name) for cell in _cells(lines, knob, value)]
    if None in found:
        raise ValueError(f"{name!r} of {knob}={value} was not measured: there are {', '.join(NUMBERS)}.")
    return found


def _cells(lines: list[dict], knob: str, value: float, part: str = "found") -> list:
    cells = [row[part][knob][str(value)] for row in lines if str(value) in row.get(part, {}).get(knob, {})]
    if not cells:
        raise ValueError(f"the table has no {part!r} for {knob}={value}: it has {GRID.get(knob, ', '.join(GRID))}.")
    return cells


# --- what a knob costs, and when it is enough


def video_flops(traces: Mapping, steps: int, frames: int, guidance: float) -> float:
    """FLOPs of a whole video: both prompts read, `steps` calls of the UNet, every frame decoded.

    traces: of tracing.trace_parts with as many frames, for the same pixels. At guidance 1 the half of a guided step
    that knows no prompt is left out. Samplers that call more often than once a step (heun) cost more.
    """
    calls = steps if guidance > 1 else steps / 2
    text, unet, vae = (traces[part].total.flops for part in ("text_encoder", "unet", "vae"))
    return 2 * text + calls * unet + frames * vae


def enough(values: Sequence[float], measures: Sequence[Measure], lowest: bool = False) -> float:
    """The first of `values` whose interval overlaps that of the best measure: the highest, or the `lowest`."""
    best = (min if lowest else max)(measures, key=lambda m: m.value)
    return next(v for v, m in zip(values, measures, strict=True) if m.low <= best.high and m.high >= best.low)


def expected(values: Sequence[float], m: int) -> tuple[float, float]:
    """Where the mean of m new values should lie, 19 times in 20: (low, high), for values that are about normal."""
    n = len(values)
    if n < 2:
        return -math.inf, math.inf
    t = 1.96 + 2.37 / (n - 1)  # Student's, to the first order in 1 / (n - 1): Abramowitz & Stegun 26.7.5
    half = t * float(np.std(values, ddof=1)) * math.sqrt(1 / m + 1 / n)
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def _print(lines: list[dict]) -> None:
    for knob, values in GRID.items():
        print(f"{knob:9} {'   '.join(f'{value}: {adherence(lines, knob, value).value:4.0%}' for value in values)}")


def main(argv: list[str] | None = None) -> int:
    """Make the table, and print adherence and flicker at each value of each knob."""
    p = arguments.Parser(prog=COMMAND, description="Turn one knob at a time; goes on where it was stopped.")
    p.add_argument("--seeds", type=arguments.whole(SEEDS), default=SEEDS, help="how many: 0, 1, 2 ... (%(default)s)")
    p.add_argument("--table", type=arguments.path, default=TABLE, help="where the lines go (%(default)s)")
    options = p.parse_args(argv)
    try:
        _print(load(make(loading.load("cartoon", quiet=True), range(options.seeds), options.table)))
    except (OSError, ValueError, MemoryError) as error:
        p.error(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
