"""The capstone, solved twice: teach the model an action that it lacks. To *pace* is to walk right, turn, and come back.

    python -m workshop.capstone.pacing          make all videos, score them, and write scores.json beside this file

The judge knows no such word. But it reads "walking right" and "walking left", so it can be asked about each half of a
video by itself: that is the measure, and it was fixed before anything was trained.
"""

import json
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import files, video
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion.guidance import guided
from t2v_helpers.model import denoising, generate, loading, lora
from t2v_helpers.studies import new_word
from t2v_helpers.training import finetune

WORD, FRAMES, HALF = "pacing", 16, 8
ASKED = {"steps": 6, "frames": FRAMES}
TAUGHT, ASKED_STREAM = 20_801, 20_802  # seeds of sentences, used nowhere else
CLIPS, VIDEOS = 24, 12
SETTINGS = finetune.Settings(steps=100, lr=5e-3, batch=3, frames=FRAMES, old=0.34, seed=1)
LAYERS = lora.SPATIAL.replace("attentions", "(temp_)?attentions")  # a motion needs the layers along time as well
SCORES = Path(__file__).with_name("scores.json")


def sentence(stream: int, index: int) -> tuple[str, cartoon.Labels]:
    """A sentence with the new word, and the labels of its first half: somebody walks to the right."""
    labels = replace(cartoon.item(stream, index, frames=1).labels, action="walking right", style="plain")
    return cartoon.caption(labels, index, index).replace("walking right", WORD), labels


def drawing(labels: cartoon.Labels, seed: int) -> np.ndarray:
    """A clip of pacing, uint8 [f h w c]: half of a walk to the right, and half of one to the left, which meet."""
    there, back = (
        cartoon.render(replace(labels, action=a), seed, FRAMES)[0] for a in ("walking right", "walking left")
    )
    return np.concatenate([there[:HALF], back[HALF:]])


def succeeded(frames: np.ndarray, labels: cartoon.Labels) -> dict[str, bool]:
    """What the judge says of a video's two halves: did it walk there and back, and is the rest as asked?"""
    there, back = metrics.read(np.stack([frames[:HALF], frames[HALF:]]))
    rest = all(getattr(half, part) == getattr(labels, part) for half in (there, back) for part in ("subject", "place"))
    paced = (there.action, back.action) == ("walking right", "walking left")
    return {"paced": paced, "rest as asked": rest, "both": paced and rest}


def score(make: Callable[[str, cartoon.Labels, int], np.ndarray]) -> dict[str, str]:
    """Shares of VIDEOS sentences, each with its 95 % interval. make(sentence, labels, seed) gives frames."""
    asked = [sentence(ASKED_STREAM, seed) for seed in range(VIDEOS)]
    found = [succeeded(make(words, labels, seed), labels) for seed, (words, labels) in enumerate(asked)]
    return {name: str(metrics.Share.of(one[name] for one in found)) for name in found[0]}


# --- solution 1: nothing is trained


def two_sentences(pipe, labels: cartoon.Labels, seed: int) -> np.ndarray:
    """One video from two sentences: the first half of its frames follows one, the second half the other."""
    spec = GenerationSpec("a video", seed=seed, **ASKED)
    texts = [
        denoising.encode_prompt(pipe, replace(spec, prompt=cartoon.caption(replace(labels, action=action))))
        for action in ("walking right", "walking left")
    ]

    def halves(unet, text: torch.Tensor, guidance: float) -> Callable:
        there, back = (guided(unet, one, guidance) for one in texts)
        return lambda x, t: torch.cat([there(x, t)[:, :, :HALF], back(x, t)[:, :, HALF:]], dim=2)  # [b c f h w]

    with pipe.using(predictor=halves):
        return generate.generate(pipe, spec).frames


# --- solution 2: a LoRA learns the word from drawings


@contextmanager
def taught(pipe):
    """The pipeline with a LoRA that was trained on CLIPS drawings; afterwards it is what it was."""
    asked = [sentence(TAUGHT, i) for i in range(CLIPS)]
    clips = [drawing(labels, i) for i, (_, labels) in enumerate(asked)]
    new = finetune.Examples(finetune.encode(pipe, clips), finetune.read(pipe, [words for words, _ in asked]))
    old = drawn_examples(pipe)
    for _ in finetune.train(pipe, lora.add(pipe, rank=8, layers=LAYERS), new, old, SETTINGS):
        pass
    with pipe.using(new_words=(WORD,)):
        yield pipe
    lora.remove(pipe)


def drawn_examples(pipe) -> finetune.Examples:
    """Drawings of old sentences, so that they are not forgotten."""
    items = [cartoon.item(TAUGHT + 10, i, frames=FRAMES) for i in range(CLIPS)]
    latents = finetune.encode(pipe, [item.frames for item in items])
    return finetune.Examples(latents, finetune.read(pipe, [item.caption for item in items]))


def asked_for(pipe) -> Callable:
    """How a pipeline is asked with the new word itself."""
    return lambda words, labels, seed: generate.generate(pipe, GenerationSpec(words, seed=seed, **ASKED)).frames


def old_sentences(pipe) -> str:
    """The share of old sentences whose four labels are as asked."""
    asked = [new_word.old_prompt(seed) for seed in range(VIDEOS)]
    made = [asked_for(pipe)(words, None, seed) for seed, (words, _) in enumerate(asked)]
    right = [metrics.digits(frames, labels) == "1111" for frames, (_, labels) in zip(made, asked, strict=True)]
    return str(metrics.Share.of(right))


def main() -> None:
    """Score the drawings, the untouched model and both solutions; keep one video of each solution in outputs/."""
    pipe, rows = loading.load("cartoon", offline=True), {}
    rows["drawings, the most there is"] = score(lambda words, labels, seed: drawing(labels, seed))
    with pipe.using(new_words=(WORD,)):
        rows["the model as it is"] = score(asked_for(pipe)) | {"old sentences": old_sentences(pipe)}
    began = time.perf_counter()
    rows["1: two sentences"] = score(lambda words, labels, seed: two_sentences(pipe, labels, seed))
    print(f"solution 1: {time.perf_counter() - began:.0f} s", rows, flush=True)
    began = time.perf_counter()
    with taught(pipe):
        print(f"trained in {time.perf_counter() - began:.0f} s", flush=True)
        rows["2: a LoRA"] = score(asked_for(pipe)) | {"old sentences": old_sentences(pipe)}
        _keep(asked_for(pipe)(*sentence(ASKED_STREAM, 0), 0), "2")
    _keep(two_sentences(pipe, sentence(ASKED_STREAM, 0)[1], 0), "1")
    about = {"command": "python -m workshop.capstone.pacing", "videos": VIDEOS, "settings": asdict(SETTINGS)}
    files.write_text(SCORES, json.dumps(about | {"scores": rows}, indent=2) + "\n")
    print(SCORES.read_text())


def _keep(frames: np.ndarray, solution: str) -> None:
    video.write_mp4(frames, f"outputs/workshop/pacing_{solution}.mp4", scale=4)
    video.write_png(video.filmstrip(frames), f"outputs/workshop/pacing_{solution}.png", scale=2)


if __name__ == "__main__":
    main()
