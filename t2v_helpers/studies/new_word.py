"""What a LoRA learns and what the model forgets, for several ranks and numbers of steps, with and without old clips.

A training is a row of RUNS. At each of STEPS the same sentences are asked for with the same noises. For sentences with
the new word, sepia_word.distance says whether the video is sepia, and the judge whether it shows the rest of what was
asked. For old sentences the judge reads all four labels. The judge has never seen sepia: notebook 07 prints how well it
reads sepia drawings.
"""

from functools import cache

import numpy as np
import torch

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import sepia_word
from t2v_helpers.core import tables
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.metrics.estimates import Measure, of_share
from t2v_helpers.model import denoising, generate, loading, lora
from t2v_helpers.studies.study import Study
from t2v_helpers.training import finetune

RUNS = ({"rank": 4, "old": 0.5}, {"rank": 4, "old": 0.0}, {"rank": 1, "old": 0.5}, {"rank": 16, "old": 0.5})
RANK = RUNS[0]["rank"]  # of the training that the notebook repeats
STEPS = (0, 40, 100)
CLIPS = 32  # sepia drawings to learn from
OLD = 16  # videos that the model makes before it learns
VIDEOS = 12  # of each kind at each of STEPS
ASKED = {"steps": 6, "frames": 8}
CLIP_STREAM, OLD_STREAM, NEW_ASKED, OLD_ASKED = 20_701, 20_702, 20_703, 20_704  # seeds of sentences, used nowhere else


def new_examples(pipe) -> finetune.Examples:
    """Sepia drawings with their captions; enlarged for a model of more pixels than the cartoon world's."""
    clips = [sepia_word.clip(CLIP_STREAM, i, ASKED["frames"]) for i in range(CLIPS)]
    factor = loading.defaults(pipe).height // cartoon.SIZE
    videos = [np.repeat(np.repeat(frames, factor, axis=1), factor, axis=2) for frames, _, _ in clips]
    return finetune.Examples(finetune.encode(pipe, videos), finetune.read(pipe, [caption for _, caption, _ in clips]))


def old_examples(pipe) -> finetune.Examples:
    """What the model makes of old sentences now: latents, never decoded."""
    captions = [cartoon.item(OLD_STREAM, i, frames=1).caption for i in range(OLD)]
    latents = []
    for seed, caption in enumerate(captions):
        *_, last = denoising.denoise(pipe, GenerationSpec(caption, seed=seed, **ASKED))
        latents.append(last.latents.float().cpu())  # [1 c f h w]
    return finetune.Examples(torch.cat(latents), finetune.read(pipe, captions))


def new_prompt(seed: int) -> tuple[str, cartoon.Labels]:
    """A sentence with the new word, and the labels of the rest of it."""
    _, caption, labels = sepia_word.clip(NEW_ASKED, seed, 1, "all")
    return caption, labels


def old_prompt(seed: int) -> tuple[str, cartoon.Labels]:
    """A sentence without the new word, and its labels."""
    item = cartoon.item(OLD_ASKED, seed, frames=1, split="all")
    return item.caption, item.labels


def measured(pipe, count: int | None = None) -> dict[str, list[dict]]:
    """For "new" and "old" sentences, a video for each of `count` seeds: {"distance": grey levels, "labels": digits}."""
    with pipe.using(new_words=(sepia_word.WORD,)):  # the untouched model is asked, too
        return {
            kind: [_measured(pipe, seed, *prompt(seed)) for seed in range(count or VIDEOS)]
            for kind, prompt in (("new", new_prompt), ("old", old_prompt))
        }


def _measured(pipe, seed: int, prompt: str, asked: cartoon.Labels) -> dict:
    frames = generate.generate(pipe, GenerationSpec(prompt, seed=seed, **ASKED)).frames
    return {"distance": round(sepia_word.distance(frames), 2), "labels": metrics.digits(frames, asked)}


def line(pipe, k: int) -> dict:
    """Training k of RUNS, measured at each of STEPS; afterwards the pipeline is what it was."""
    (new, old, before), run = shared(pipe), RUNS[k]
    found, parameters = {"0": before}, lora.add(pipe, run["rank"])
    settings = finetune.Settings(steps=max(STEPS), old=run["old"])
    for step, _ in enumerate(finetune.train(pipe, parameters, new, old, settings), 1):
        if step in STEPS:
            found[str(step)] = measured(pipe)
    lora.remove(pipe)
    return {"seed": k, "prompt": f"rank {run['rank']}, {run['old']:.0%} old", **run, "found": found}


@cache
def shared(pipe) -> tuple[finetune.Examples, finetune.Examples, dict]:
    """What the trainings of an untouched pipeline have in common: both kinds of examples, and what it makes before."""
    return new_examples(pipe), old_examples(pipe), measured(pipe)


def sepia(found: list[dict]) -> Measure:
    """The share of videos that are sepia."""
    return of_share(metrics.Share.of(video["distance"] < sepia_word.LIMIT for video in found))


def right(found: list[dict], count: int = 4) -> Measure:
    """The share of videos that show what was asked: all of the first `count` labels (3 leaves out the style)."""
    return of_share(metrics.Share.of(video["labels"][:count] == "1" * count for video in found))


def summary(lines: list[dict]) -> str:
    """Every training at each of STEPS: what was learned, and what was forgotten."""
    rows = [("training", "steps", "new: sepia", "rest right", "old: right", "sepia")]
    for row in lines:
        for steps, found in row["found"].items():
            new, old = found["new"], found["old"]
            shares = sepia(new), right(new, 3), right(old), sepia(old)
            rows.append((row["prompt"], steps, *(f"{share.value:.0%}" for share in shares)))
    return tables.aligned(rows, right=True)


STUDY = Study(
    name="new_word",
    asks="What does a LoRA learn, and what does the model forget, by rank, steps and old clips?",
    file="teaching.jsonl",
    seeds=len(RUNS),
    hours=0.2,
    head=lambda pipe: {"asked": ASKED, "clips": CLIPS, "limit": sepia_word.LIMIT},
    row=line,
    summary=summary,
)
