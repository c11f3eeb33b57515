"""What each knob does: steps, guidance, frames and size are changed one at a time, and the judge reads the videos.

All knobs but one stay at BASE, so that a change has one cause. Every seed has one sentence and one noise for all
values; only a knob that changes the shape of the latents (frames, size) changes the noise, too.

The judge reads 64x64 pixels, so videos of another size are resized first, and all measures describe the resized video.
It learned from clips of 8 to 24 frames. `drawn` says what it reads in a drawing of the same sentence with as many
frames or as few pixels: what it misses there is not the model's fault.

Cost: 22 CPU minutes, 55 seconds a seed, of which the 32 and 64 frames take 17 and the sizes above 64 take 9. Notebooks
05 and 11 compare values in pairs: McNemar's test needs 6 lost of 24, which a true loss of 30 % reaches in 77 % of
tables. In the first edition's table, 24 of the 32 seeds found the same values worse in adherence, but for guidance 12
(5 lost: p = 0.06), and 16 seeds were enough for the flicker of guidance and frames.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import checking, tables
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.metrics import power
from t2v_helpers.metrics.estimates import Measure, Share, of_share, of_values
from t2v_helpers.model import generate, loading, validation
from t2v_helpers.studies.study import Study, cells

BASE = {"steps": 12, "guidance": loading.GUIDANCE["cartoon"], "frames": 8, "size": 64}
GRID = {  # BASE is part of each
    "steps": [1, 2, 4, 8, 12, 25, 50],
    "guidance": [1, 2, 4, 9, 12, 15],
    "frames": [1, 2, 4, 8, 16, 32, 64],
    "size": [32, 48, 64, 96, 128],
}
DRAWN = ("frames", "size")  # the knobs that could confuse the judge, too
NUMBERS = ("flicker", "sharpness", "saturation")
SEEDS = 24
SENTENCES = 20_505  # the seed of the prompts, used nowhere else


def item_of(seed: int, frames: int = BASE["frames"]) -> cartoon.Item:
    """The item of the cartoon world whose caption is the prompt of a seed, drawn with `frames` frames."""
    return cartoon.item(SENTENCES, seed, frames, split="all")


def spec_of(prompt: str, seed: int, knob: str = "steps", value: float | None = None) -> GenerationSpec:
    """BASE with one knob of GRID set to `value`. ValueError: an unknown knob."""
    checking.one_of("knob", knob, GRID)
    turned = BASE if value is None else BASE | {knob: value}
    asked = {name: turned[name] for name in ("steps", "guidance", "frames")}
    return GenerationSpec(prompt, seed=seed, height=turned["size"], width=turned["size"], **asked)


def line(pipe, seed: int, grid: dict[str, list] = GRID) -> dict:
    """What each knob gives for one seed: {"seed", "prompt", "found": {knob: {value: `measured`}}, "drawn"}.

    drawn: {knob: {value: `metrics.digits`}} of drawings, for DRAWN.
    """
    item, made = item_of(seed), {}
    found, drawn = {knob: {} for knob in grid}, {knob: {} for knob in grid if knob in DRAWN}
    for knob, values in grid.items():
        for value in values:
            spec = validation.resolve(pipe, spec_of(item.caption, seed, knob, value))
            if spec not in made:  # BASE is in every row of the grid, but made once
                made[spec] = measured(generate.generate(pipe, spec).frames, item.labels)
            found[knob][str(value)] = made[spec]
            if knob in DRAWN:
                drawn[knob][str(value)] = drawn_labels(seed, knob, value)
    return {"seed": seed, "prompt": item.caption, "found": found, "drawn": drawn}


def measured(frames: np.ndarray, asked: cartoon.Labels) -> dict:
    """The judged labels, as `metrics.digits`, and NUMBERS of a video uint8 [f h w c]; flicker of one frame is None."""
    seen = resized(frames)
    return {
        "labels": metrics.digits(seen, asked),
        "flicker": round(metrics.flicker(seen), 6) if len(seen) > 1 else None,
        "sharpness": round(metrics.sharpness(seen), 2),
        "saturation": round(saturation(seen), 4),
    }


def drawn_labels(seed: int, knob: str, value: int) -> str:
    """`metrics.digits` of a drawing with that many frames, or reduced to that size and enlarged again."""
    item = item_of(seed, value) if knob == "frames" else item_of(seed)
    return metrics.digits(item.frames if knob == "frames" else resized(resized(item.frames, value)), item.labels)


def resized(frames: np.ndarray, size: int = BASE["size"]) -> np.ndarray:
    """A video uint8 [f h w c] resized to size x size, bilinear and antialiased."""
    if frames.shape[1:3] == (size, size):
        return frames
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float()  # [f c h w]
    images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()  # [f h w c]


def saturation(frames: np.ndarray) -> float:
    """The mean saturation of a video uint8 [f h w c], 0 to 1: (max - min) / max over the channels of a pixel."""
    top, bottom = frames.max(axis=-1).astype(np.float64), frames.min(axis=-1)
    return float(np.mean((top - bottom) / np.maximum(top, 1)))


def adherence(
    lines: list[dict], knob: str, value: float, label: str = metrics.ALL_FOUR, part: str = "found"
) -> Measure:
    """The share of seeds whose video shows what was asked, with Wilson's interval; part="drawn": of drawings."""
    found = cells(lines, part, knob, value)
    return of_share(metrics.digits_share([one["labels"] if part == "found" else one for one in found], label))


def as_asked(lines: list[dict], knob: str, value: float) -> list[bool]:
    """For each seed, whether the judge reads all four labels as asked."""
    return [cell["labels"] == "1" * len(metrics.LABELS) for cell in cells(lines, "found", knob, value)]


def mean(lines: list[dict], knob: str, value: float, name: str) -> Measure:
    """The mean of one of NUMBERS over the seeds, with its 95 % interval. ValueError: it was not measured there."""
    return of_values(numbers(lines, knob, value, name))


def numbers(lines: list[dict], knob: str, value: float, name: str) -> list[float]:
    """One of NUMBERS for each seed. ValueError: it was not measured there."""
    found = [cell.get(name) for cell in cells(lines, "found", knob, value)]
    if None in found:
        asked = f"{checking.shown(name)} of {knob}={checking.shown(value)}"
        raise ValueError(f"{asked} was not measured: there are {', '.join(NUMBERS)}.")
    return found


def video_flops(traces: Mapping, steps: int, frames: int, guidance: float) -> float:
    """FLOPs of a video: both prompts encoded, `steps` calls of the UNet, every frame decoded.

    traces: from tracing.trace_parts, for as many frames and pixels. Guidance 1 skips the unconditional half of a guided
    step. Samplers that call the UNet more than once per step (heun) cost more.
    """
    calls = steps if guidance > 1 else steps / 2
    text, unet, vae = (traces[part].total.flops for part in ("text_encoder", "unet", "vae"))
    return 2 * text + calls * unet + frames * vae


def against_best(found: Sequence[Sequence[float]], lowest: bool = False) -> np.ndarray:
    """The p-value of each value of a knob against the best one, seed by seed: `power.p_values`, [values].

    found: [values seeds], the same seeds in each row. The best has the highest mean, or the `lowest`.
    ValueError: those of p_values.
    """
    found = np.asarray(found, float)
    best = found[found.mean(axis=1).argmin() if lowest else found.mean(axis=1).argmax()]
    return power.p_values(found, np.broadcast_to(best, found.shape))


def enough(values: Sequence[float], found: Sequence[Sequence[float]], lowest: bool = False) -> float:
    """The first of `values` that the paired test of `against_best` does not distinguish from the best at 5 %."""
    return values[int((against_best(found, lowest) >= power.LEVEL).argmax())]


def curves(lines: list[dict], knob: str) -> dict[str, dict[str, list[tuple[float, Measure]]]]:
    """What to draw of a knob: the label of an axis -> {"videos" or "drawings": [(value, Measure)]}."""
    values, shares = GRID[knob], {"videos": "found"} | ({"drawings": "drawn"} if knob in DRAWN else {})
    return {
        "all four as asked (share)": {
            name: [(v, adherence(lines, knob, v, part=part)) for v in values] for name, part in shares.items()
        },
        "flicker (% of the range)": {"videos": [(v, flicker(lines, knob, v)) for v in moving(knob)]},
        "sharpness (grey levels squared)": {"videos": [(v, mean(lines, knob, v, "sharpness")) for v in values]},
    }


def moving(knob: str) -> list[float]:
    """The values of a knob whose videos can flicker: all but a single frame."""
    return [value for value in GRID[knob] if (knob, value) != ("frames", 1)]


def flicker(lines: list[dict], knob: str, value: float) -> Measure:
    """The mean flicker in percent of the range, with its 95 % interval. ValueError: it was not measured there."""
    found = mean(lines, knob, value, "flicker")
    return Measure(100 * found.value, 100 * found.low, 100 * found.high, found.n)


def table(lines: list[dict], knob: str) -> str:
    """Each value of a knob: adherence and flicker, compared seed by seed with the best; sharpness, saturation."""
    heard = [as_asked(lines, knob, value) for value in GRID[knob]]
    flickers = [numbers(lines, knob, value, "flicker") for value in moving(knob)]
    chance = dict(zip(moving(knob), against_best(flickers, lowest=True), strict=True))
    rows = [[knob, "all four as asked", "lost", "won", "p", "flicker in %", "p", "sharpness", "saturation"]]
    for value, found in zip(GRID[knob], heard, strict=True):
        calm = ["-", "-"]
        if value in chance:
            m = flicker(lines, knob, value)
            calm = [f"{m.value:.2f} ({m.low:.2f}-{m.high:.2f})", _p(chance[value])]
        sharp, colour = (mean(lines, knob, value, name).value for name in ("sharpness", "saturation"))
        pairs = power.Pairs.of(max(heard, key=sum), found)
        shown = [Share.of(found).summary, pairs.lost, pairs.won, _p(pairs.p), *calm]
        rows.append([value, *shown, f"{sharp:.0f}", f"{colour:.3f}"])
    return tables.aligned(rows, right=True)


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "<0.001"


def label_table(lines: list[dict], knob: str) -> str:
    """What is read as asked, label by label: of the videos, and of drawings, the judge's own control."""
    rows = [[knob, *metrics.LABELS, "drawings: action", "drawings: all four"]]
    for value in GRID[knob]:
        videos = [adherence(lines, knob, value, label) for label in metrics.LABELS]
        control = [adherence(lines, knob, value, label, "drawn") for label in ("action", metrics.ALL_FOUR)]
        rows.append([value, *(f"{share.value:.0%}" for share in (*videos, *control))])
    return tables.aligned(rows, right=True)


def summary(lines: list[dict]) -> str:
    """Adherence at each value of each knob."""
    rows = ([knob, *(f"{value}: {adherence(lines, knob, value).value:.0%}" for value in GRID[knob])] for knob in GRID)
    most = max(map(len, GRID.values())) + 1
    return tables.aligned([*row, *[""] * (most - len(row))] for row in rows)


STUDY = Study(
    name="knobs",
    asks="What do steps, guidance, frames and size do, each turned alone?",
    file="knobs.jsonl",
    seeds=SEEDS,
    minutes=11,
    head=lambda pipe: {"base": BASE, "grid": GRID, "scheduler": spec_of("", 0).scheduler},
    row=line,
    summary=summary,
)
