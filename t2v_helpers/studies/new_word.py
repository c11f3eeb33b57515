"""What a new word's LoRA and embeddings learn, together and alone, and what the model forgets.

A training is a row of RUNS; each changes one thing of the first. At each of STEPS the same sentences are asked for with
the same noises. For sentences with the new word, sepia_word.distance says whether the video is sepia, and the judge
whether it shows the rest of what was asked. For old sentences the judge reads all four labels. `limit` comes from
drawings alone. The judge has never seen sepia: notebook 07 prints how well it reads sepia drawings.

Cost: 10 CPU minutes, 528 videos of 0.9 CPU seconds, and five trainings of 20. Notebook 07's yardstick is McNemar's test
on VIDEOS of a kind: 6 of 24, which a true change of 30 % reaches in 77 % of tables. "Learned" is a far larger change;
that old sentences are kept is asked of their mean distance, too, which sees smaller ones.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from t2v_helpers import cartoon, metrics
from t2v_helpers.cartoon import sepia_word
from t2v_helpers.core import tables, video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import denoising, generate, loading, lora
from t2v_helpers.studies.study import Study
from t2v_helpers.training import finetune

RUNS = (
    {"name": "LoRA and word", "learns": "both", "rank": 4, "old": 0.5},
    {"name": "LoRA alone", "learns": "LoRA", "rank": 4, "old": 0.5},
    {"name": "word alone", "learns": "word", "rank": 4, "old": 0.5},
    {"name": "no old clips", "learns": "both", "rank": 4, "old": 0.0},
    {"name": "rank 1", "learns": "both", "rank": 1, "old": 0.5},
)
RANK = RUNS[0]["rank"]  # of the training that the notebook repeats
STEPS = (0, 40, 100)
CLIPS = 32  # sepia drawings to learn from
OLD = 16  # videos that the model makes before it learns
VIDEOS = 24  # of each kind at each of STEPS
DRAWINGS = 48  # sepia ones, and as many others, that the limit is chosen on
USUAL = {"steps": 6, "frames": 8}  # how the old clips are made
ASKED = USUAL | {"guidance": 1.5}  # a new word is learned without guidance: ask with little
CLIP_STREAM, OLD_STREAM, NEW_ASKED, OLD_ASKED = 20_701, 20_702, 20_713, 20_714  # seeds of sentences, used nowhere else
NEAR_STREAM, FAR_STREAM = 20_705, 20_706  # of drawings that nothing learns from


def drawn_distances(pipe, first: int = 0) -> tuple[list[float], list[float]]:
    """Distances to sepia of DRAWINGS sepia drawings and of as many others, from number `first` on, after the VAE."""
    numbers = range(first, first + DRAWINGS)
    near = [sepia_word.clip(NEAR_STREAM, i, 1, "all")[0] for i in numbers]
    far = [cartoon.item(FAR_STREAM, i, 1, "all").frames for i in numbers]
    return tuple([sepia_word.distance(through_vae(pipe, frames)) for frames in kind] for kind in (near, far))


def through_vae(pipe, frames: np.ndarray) -> np.ndarray:
    """Frames of the cartoon world, uint8 [f 64 64 3], encoded and decoded again."""
    factor = loading.defaults(pipe).height // cartoon.SIZE
    z = finetune.encode(pipe, [video.enlarge(frames, factor)])  # [1 c f h w]
    decoded = denoising.decode_latents(pipe, z.to(pipe.execution_device, pipe.unet.dtype))[0]
    return video.reduce(decoded, factor)


def limit(pipe) -> float:
    """The distance below which a video is called sepia, in grey levels; from drawings alone, before any training."""
    return round(sepia_word.limit(*drawn_distances(pipe)), 1)


def new_examples(pipe, folder: str | Path | None = None) -> finetune.Examples:
    """Sepia drawings with their captions, enlarged where the model makes more pixels; or your own clips in `folder`.

    Errors: those of finetune.read_folder and finetune.encode.
    """
    if folder is None:
        clips = [sepia_word.clip(CLIP_STREAM, i, ASKED["frames"]) for i in range(CLIPS)]
        factor = loading.defaults(pipe).height // cartoon.SIZE
        videos, captions = [video.enlarge(frames, factor) for frames, _, _ in clips], [text for _, text, _ in clips]
    else:
        videos, captions = finetune.read_folder(folder)
    videos = [frames[: ASKED["frames"]] for frames in videos]
    return finetune.Examples(finetune.encode(pipe, videos), finetune.tokens(pipe, captions))


def old_examples(pipe) -> finetune.Examples:
    """What the model makes of old sentences now: latents, never decoded."""
    captions = [cartoon.item(OLD_STREAM, i, frames=1).caption for i in range(OLD)]
    latents = []
    for seed, caption in enumerate(captions):
        *_, last = denoising.denoise(pipe, GenerationSpec(caption, seed=seed, **USUAL))
        latents.append(last.latents.float().cpu())  # [1 c f h w]
    return finetune.Examples(torch.cat(latents), finetune.tokens(pipe, captions))


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
    (new, old, before, below), run = shared(pipe), RUNS[k]
    found, parameters = {"0": before}, learning(pipe, run["learns"], run["rank"])
    settings = finetune.Settings(steps=max(STEPS), old=run["old"])
    for step, _ in enumerate(finetune.train(pipe, parameters, new, old, settings), 1):
        if step in STEPS:
            found[str(step)] = measured(pipe)
    lora.remove(pipe)
    return {"seed": k, "prompt": run["name"], **run, "limit": below, "found": found}


def learning(pipe, learns: str = "both", rank: int = RANK) -> list[nn.Parameter]:
    """Add a LoRA and learnable rows for the word's own pieces, and return those that are to learn.

    learns: "both", "LoRA" (the rows stay zero) or "word" (B stays zero). Errors: those of lora.add, KeyError (learns).
    """
    *matrices, change = lora.add(pipe, rank, pieces=lora.own_pieces(pipe, sepia_word.WORD))
    return {"both": [*matrices, change], "LoRA": matrices, "word": [change]}[learns]


@cache
def shared(pipe) -> tuple[finetune.Examples, finetune.Examples, dict, float]:
    """What the trainings of an untouched pipeline have in common: both kinds of examples, what it makes, the limit."""
    return new_examples(pipe), old_examples(pipe), measured(pipe), limit(pipe)


def sepia(found: list[dict], below: float) -> list[bool]:
    """Whether each video is sepia: nearer than the limit `below`, in grey levels."""
    return [one["distance"] < below for one in found]


def right(found: list[dict], count: int = 4) -> list[bool]:
    """Whether each video shows what was asked: all of the first `count` labels (3 leaves out the style)."""
    return [one["labels"][:count] == "1" * count for one in found]


def summary(lines: list[dict]) -> str:
    """Every training at each of STEPS: what was learned, and what was forgotten."""
    rows = [("training", "steps", "new: sepia", "rest right", "old: right", "sepia")]
    for row in lines:
        for steps, found in row["found"].items():
            new, old = found["new"], found["old"]
            answers = sepia(new, row["limit"]), right(new, 3), right(old), sepia(old, row["limit"])
            rows.append((row["prompt"], steps, *(f"{np.mean(yes):.0%}" for yes in answers)))
    return tables.aligned(rows, right=True)


STUDY = Study(
    name="new_word",
    asks="What do a LoRA and a word's embeddings learn, together and alone, and what does the model forget?",
    file="teaching.jsonl",
    seeds=len(RUNS),
    minutes=5,
    head=lambda pipe: {"asked": ASKED, "clips": CLIPS, "lr": finetune.Settings.lr, "limit": limit(pipe)},
    row=line,
    summary=summary,
)
