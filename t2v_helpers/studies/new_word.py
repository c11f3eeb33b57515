"""What a LoRA learns and what the model forgets, for several ranks and numbers of steps, with and without old clips.

    python -m t2v_helpers.studies.new_word  # goes on where it was stopped; the table is benchmarks/teaching.jsonl

A training is a row of RUNS. At each of STEPS the same sentences are asked for with the same noises. Of sentences with
the new word, sepia_word.distance tells whether the video is sepia, and the judge whether it shows the rest of what was
asked. Of old sentences the judge reads all four labels. The judge has never seen sepia: the notebook prints how well it
reads sepia drawings.
"""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import torch

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import sepia_word
from t2v_helpers.core import arguments, paths
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.metrics.estimates import Measure, of_share
from t2v_helpers.model import generate, loading, lora
from t2v_helpers.studies import study
from t2v_helpers.training import finetune

TABLE = paths.BENCHMARKS / "teaching.jsonl"
COMMAND = "python -m t2v_helpers.studies.new_word"
RUNS = ({"rank": 4, "old": 0.5}, {"rank": 4, "old": 0.0}, {"rank": 1, "old": 0.5}, {"rank": 16, "old": 0.5})
RANK = RUNS[0]["rank"]  # of the training that the notebook repeats
STEPS = (0, 40, 100)
CLIPS = 32  # sepia drawings to learn from
OLD = 16  # videos of the model's own, made before it learns
VIDEOS = 12  # of each kind at each of STEPS
ASKED = {"steps": 6, "frames": 8}
CLIP_STREAM, OLD_STREAM, NEW_ASKED, OLD_ASKED = 20_701, 20_702, 20_703, 20_704  # seeds of sentences, none in training


# --- what is learned from


def new_examples(pipe, count: int | None = None) -> finetune.Examples:
    """Sepia drawings with their captions; enlarged where the model is made for more pixels than the cartoon world."""
    clips = [sepia_word.clip(CLIP_STREAM, i, ASKED["frames"]) for i in range(count or CLIPS)]
    factor = loading.defaults(pipe).height // cartoon.SIZE
    videos = [np.repeat(np.repeat(frames, factor, axis=1), factor, axis=2) for frames, _, _ in clips]
    return finetune.Examples(finetune.encode(pipe, videos), finetune.read(pipe, [caption for _, caption, _ in clips]))


def old_examples(pipe, count: int | None = None) -> finetune.Examples:
    """Videos of the model's own for old sentences, as it makes them now: their latents, never decoded."""
    captions = [cartoon.item(OLD_STREAM, i, frames=1).caption for i in range(count or OLD)]
    latents = []
    for seed, caption in enumerate(captions):
        *_, last = generate.denoise(pipe, GenerationSpec(caption, seed=seed, **ASKED))
        latents.append(last.latents.float().cpu())  # [1 c f h w]
    return finetune.Examples(torch.cat(latents), finetune.read(pipe, captions))


# --- what is measured


def new_prompt(seed: int) -> tuple[str, cartoon.Labels]:
    """A sentence with the new word, and what its video should show apart from the style."""
    _, caption, labels = sepia_word.clip(NEW_ASKED, seed, 1, "all")
    return caption, labels


def old_prompt(seed: int) -> tuple[str, cartoon.Labels]:
    """A sentence without the new word, and its labels."""
    item = cartoon.item(OLD_ASKED, seed, frames=1, split="all")
    return item.caption, item.labels


def measured(pipe, count: int | None = None) -> dict[str, list[dict]]:
    """For "new" and "old" sentences, a video of each of `count` seeds: {"distance": grey levels, "labels": "1111"}."""
    before = getattr(pipe, "new_words", ())
    pipe.new_words = (sepia_word.WORD,)  # the untouched model is asked, too
    found = {
        kind: [_measured(pipe, seed, *prompt(seed)) for seed in range(count or VIDEOS)]
        for kind, prompt in (("new", new_prompt), ("old", old_prompt))
    }
    pipe.new_words = before
    return found


def _measured(pipe, seed: int, prompt: str, asked: cartoon.Labels) -> dict:
    frames = generate.generate(pipe, GenerationSpec(prompt, seed=seed, **ASKED)).frames
    return {"distance": round(sepia_word.distance(frames), 2), "labels": labels(frames, asked)}


def labels(frames: np.ndarray, asked: cartoon.Labels) -> str:
    """A digit for each label of a video uint8 [f 64 64 3]: 1 where the judge reads what was asked."""
    (seen,) = metrics.read(frames[None])
    return "".join(str(int(getattr(seen, label) == getattr(asked, label))) for label in metrics.LABELS)


# --- the table


def line(pipe, k: int, before: Callable[[], dict], new: finetune.Examples, old: finetune.Examples) -> dict:
    """Training k of RUNS, measured at each of STEPS; the pipeline is then what it was."""
    run, found = RUNS[k], {"0": before()}
    parameters = lora.add(pipe, run["rank"])
    settings = finetune.Settings(steps=max(STEPS), old=run["old"])
    for step, _ in enumerate(finetune.train(pipe, parameters, new, old, settings), 1):
        if step in STEPS:
            found[str(step)] = measured(pipe)
    lora.remove(pipe)
    return {"seed": k, "prompt": f"rank {run['rank']}, {run['old']:.0%} old", **run, "found": found}


def make(pipe, table: Path = TABLE, runs: Iterable[int] | None = None) -> Path:
    """Add the line of every training that the table lacks, each written when it is done. Errors: see `study.make`."""
    head = {"command": COMMAND, "weights": study.weights(), "asked": ASKED, "clips": CLIPS, "limit": sepia_word.LIMIT}
    new, old = cache(lambda: new_examples(pipe)), cache(lambda: old_examples(pipe))
    before = cache(lambda: measured(pipe))
    return study.make(table, head, runs or range(len(RUNS)), lambda k: line(pipe, k, before, new(), old()), "trainings")


def load(table: Path = TABLE) -> list[dict]:
    """The lines of the trainings. Errors: FileNotFoundError (not made yet), ValueError (no such table)."""
    return study.read(table, COMMAND)[1:]


def sepia(found: list[dict]) -> Measure:
    """The share of videos that are sepia."""
    return _share([video["distance"] < sepia_word.LIMIT for video in found])


def right(found: list[dict], count: int = 4) -> Measure:
    """The share of videos that show what was asked: all of the first `count` labels (3 leaves out the style)."""
    return _share([video["labels"][:count] == "1" * count for video in found])


def _share(yes: list[bool]) -> Measure:
    return of_share(metrics.Share(sum(yes), len(yes)))


def _print(lines: list[dict]) -> None:
    print("new sentences: sepia, the rest right; old sentences: all right, sepia")
    for row in lines:
        for steps, found in row["found"].items():
            new, old = found["new"], found["old"]
            shares = sepia(new), right(new, 3), right(old), sepia(old)
            print(f"{row['prompt']:17} {steps:>3} steps", *(f"{share.value:6.0%}" for share in shares))


def main(argv: list[str] | None = None) -> int:
    """Make the table, and print it."""
    p = arguments.Parser(prog=COMMAND, description="Teach a new word in several ways; goes on where it was stopped.")
    p.add_argument("--table", type=arguments.path, default=TABLE, help="where the lines go (%(default)s)")
    options = p.parse_args(argv)
    try:
        _print(load(make(loading.load("cartoon", quiet=True), options.table)))
    except (OSError, ValueError, MemoryError) as error:
        p.error(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
