"""The measurements of `make bench`: the judge, the autoencoder, videos of many sentences, times, temporal layers.

Sharpness is the variance of the Laplacian in the subject's usual region, divided by that of a fresh render of the same
sentence; the geometric mean of the ratios is returned. Each function returns a Measure for each name.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import torch
from tqdm import tqdm

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import layout
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import temporal
from t2v_helpers.metrics.estimates import Measure, of_ratios, of_share, of_times, of_values
from t2v_helpers.model import generate, loading
from t2v_helpers.model.later import dit_file
from t2v_helpers.studies import study

SEED = 20_261  # of the sentences and renders, used nowhere else
CLOCK = "a robot is dancing in times square"
RIDE = "A monkey is riding a horse around a lake"  # the blog's, and the hardest of its three
CALLS = 4, 2, 1  # of a student
TEMPORAL = {  # variant -> the temporal layers that are off
    "on": (),
    "off": ("convolution", "attention"),
    "only convolution": ("attention",),
    "only attention": ("convolution",),
}


def measure_judge(renders: int) -> dict[str, Measure]:
    """The judge's accuracy on fresh renders, undisturbed and disturbed: every label, and the weakest."""
    found = {}
    for way in metrics.DISTURBANCES:
        counted = metrics.judge_accuracy(renders, SEED, way)
        found |= {f"judge/{way}/{x}": of_share(counted[x]) for x in metrics.LABELS}
        found[f"judge/{way}"] = of_share(min((counted[x] for x in metrics.LABELS), key=lambda share: share.share))
    return found


def measure_vae(vae, clips: int) -> dict[str, Measure]:
    """Fresh renders, encoded and decoded: PSNR and sharpness of each clip, and what the judge reads in the result."""
    noise, ratios, seen, asked = [], [], [], []
    for items in _chunks([cartoon.item(SEED, i, split="all") for i in range(clips)], 8, "VAE"):
        frames = np.stack([item.frames for item in items])
        back = reconstruct(vae, frames)
        noise += [metrics.psnr(a, b) for a, b in zip(frames, back, strict=True)]
        ratios += [metrics.sharpness_ratio(video, item) for video, item in zip(back, items, strict=True)]
        seen += metrics.read(back)
        asked += [item.labels for item in items]
    counted = metrics.adherence(seen, asked)
    shares = {f"vae/{x}": of_share(counted[x]) for x in (*metrics.LABELS, metrics.ALL_FOUR)}
    return {"vae/psnr": of_values(noise), "vae/sharpness": of_ratios(ratios)} | shares


@torch.inference_mode()
def reconstruct(vae, frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [b f h w c], encoded to the mode of their latents and decoded: the same shape."""
    x = layout.fold_frames(layout.to_float(torch.from_numpy(frames))).to(vae.device, vae.dtype)  # [(b f) c h w]
    back = vae.decode(vae.encode(x).latent_dist.mode()).sample
    return layout.to_uint8(layout.unfold_frames(back.float().cpu(), len(frames))).numpy()


def measure_prompts(pipe, prompts: int, split: str, batch_size: int = 8, steps: int = 25) -> tuple[dict, dict]:
    """Videos of `prompts` sentences of a split, read by the judge: (measures, right answers by word)."""
    part = "held_out" if split == "held_out" else "grammar"
    items = [cartoon.item(SEED, i, split=split) for i in range(prompts)]
    specs = [GenerationSpec(item.caption, seed=i, scheduler="dpm++", steps=steps) for i, item in enumerate(items)]
    videos, asked = _videos(pipe, specs, batch_size, part), [item.labels for item in items]
    seen = metrics.read(videos)
    counted, control = metrics.adherence(seen, asked), metrics.adherence(seen, metrics.shuffled(asked))
    found = {x: of_share(counted[x]) for x in (*metrics.LABELS, metrics.ALL_FOUR)}
    found |= {"control": of_share(control[metrics.ALL_FOUR]), "sharpness": _sharpness(videos, items)}
    found |= measure_looks(videos, items)
    return {f"{part}/{name}": m for name, m in found.items()}, by_word(seen, asked)


def measure_student(model: str, prompts: int, batch_size: int = 8) -> dict[str, Measure]:
    """The same sentences by a model's student, for each number of calls; {} for a model that has none."""
    if loading.find(model).student is None:
        return {}
    pipe, found = loading.load(model, quiet=True, fast=True), {}
    items = [cartoon.item(SEED, i, split="all") for i in range(prompts)]
    asked = [item.labels for item in items]
    for calls in CALLS:
        sampling = loading.sampling(pipe) | {"steps": calls}
        specs = [GenerationSpec(item.caption, seed=i, **sampling) for i, item in enumerate(items)]
        videos = _videos(pipe, specs, batch_size, f"student, {calls} calls")
        read = _as_asked_and_whole(videos, asked) | {"sharpness": _sharpness(videos, items)}
        found |= {f"student/{calls}/{name}": m for name, m in read.items()}
    return found


def measure_dit(pipe, model: str, prompts: int, batch_size: int = 8, steps: int = 25) -> dict[str, Measure]:
    """The same sentences by the trained DiT in the UNet's place, and by the UNet; {} for a model that has no DiT."""
    if model != "cartoon" or not dit_file.WEIGHTS.is_file():
        return {}
    items, found = [cartoon.item(SEED, i, split="all") for i in range(prompts)], {}
    specs = [GenerationSpec(item.caption, seed=i, scheduler="dpm++", steps=steps) for i, item in enumerate(items)]
    for name, place in {"dit": dit_file.using(pipe), "unet": nullcontext()}.items():
        with place:
            videos = _videos(pipe, specs, batch_size, f"{name} in its place")
        found |= {f"dit/{name}/{what}": m for what, m in _looks(videos, items).items()}
    return found


def _looks(videos: np.ndarray, items: list[cartoon.Item]) -> dict[str, Measure]:
    """Videos uint8 [b f 64 64 3] as asked, whole, sharp relative to drawings, and their flicker."""
    looks = {"sharpness": _sharpness(videos, items), "flicker": of_values([metrics.flicker(video) for video in videos])}
    return _as_asked_and_whole(videos, [item.labels for item in items]) | looks


def _sharpness(videos: np.ndarray, items: list[cartoon.Item]) -> Measure:
    return of_ratios([metrics.sharpness_ratio(video, item) for video, item in zip(videos, items, strict=True)])


def measure_ride(pipe, seeds: int, batch_size: int = 8) -> dict[str, Measure]:
    """One sentence of the blog from many seeds: as asked, and whole."""
    videos = _videos(pipe, [GenerationSpec(RIDE, seed=seed) for seed in range(seeds)], batch_size, "ride")
    found = _as_asked_and_whole(videos, [cartoon.parse(RIDE)] * seeds)
    return {f"ride/{name}": m for name, m in found.items()}


def _as_asked_and_whole(videos: np.ndarray, asked: list[cartoon.Labels]) -> dict[str, Measure]:
    right = metrics.adherence(metrics.read(videos), asked)[metrics.ALL_FOUR]
    return {metrics.ALL_FOUR: of_share(right), "whole": of_share(metrics.wholeness(videos, asked).share)}


def _videos(pipe, specs: list[GenerationSpec], batch_size: int, what: str) -> np.ndarray:
    """Their videos, uint8 [b f h w 3]."""
    chunks = _chunks(specs, batch_size, what)
    return np.stack([made.frames for chunk in chunks for made in generate.generate_batch(pipe, chunk, batch_size)])


def measure_looks(videos: np.ndarray, items: list[cartoon.Item]) -> dict[str, Measure]:
    """What labels do not tell of videos uint8 [b f 64 64 3]: the share that is whole, and the distance from drawings.

    Both beside drawings of the same sentences; the Fréchet distance also by label and word, "frechet/subject/dog".
    """
    asked = [item.labels for item in items]
    whole = metrics.wholeness(videos, asked).share
    drawn = metrics.wholeness(np.stack([item.frames for item in items]), asked).share
    found = {"whole": of_share(whole), "whole drawings": of_share(drawn)}
    if drawn.k:
        found["wholeness"] = Measure(*(x / drawn.share for x in (whole.share, *whole.interval)), whole.n)
    for name, gap in metrics.frechet_to_drawings(videos, asked, SEED).items():
        if math.isfinite(gap.distance.high):  # too few videos of a word have no interval
            end = "" if name == "all" else f"/{name}"
            found |= {f"frechet{end}": gap.distance, f"frechet floor{end}": gap.floor}
    return found


def by_word(seen: list[cartoon.Labels], asked: list[cartoon.Labels]) -> dict[str, dict[str, list[int]]]:
    """label -> word -> [how often it was read right, how often it was asked]."""
    table = {label: {} for label in metrics.LABELS}
    for s, a in zip(seen, asked, strict=True):
        for label in metrics.LABELS:
            count = table[label].setdefault(getattr(a, label), [0, 0])
            count[0] += getattr(s, label) == getattr(a, label)
            count[1] += 1
    return {label: dict(sorted(words.items())) for label, words in table.items()}


def measure_timings(pipe, model: str, repeats: int = 3, steps: int = 25) -> dict[str, Measure]:
    """Seconds of a warm video of 16 frames, of a first video in a new Python, and of `import t2v_helpers`."""
    spec = GenerationSpec(prompt=CLOCK, steps=steps, frames=16)
    own = _warm_seconds(pipe, spec, repeats)
    first = (
        "import sys; from t2v_helpers.model import generate, loading; "
        "from t2v_helpers.core.records import GenerationSpec; "
        f"generate.generate(loading.load(sys.argv[1], quiet=True), GenerationSpec({CLOCK!r}, steps={steps}))"
    )
    inside = "import time; t = time.perf_counter(); import t2v_helpers; print(time.perf_counter() - t)"
    return {
        "timings/video": of_times(own),
        **_student_times(model, repeats, statistics.median(own)),
        "timings/first video": of_times([_seconds(lambda: study.in_new_python(first, model)) for _ in range(repeats)]),
        "timings/import": of_times([float(study.in_new_python(inside)) for _ in range(repeats)]),
    }


def _warm_seconds(pipe, spec: GenerationSpec, repeats: int) -> list[float]:
    """Seconds of a video, after a first one that warms up, by its record: without the hash of the weights, which costs
    the same for any number of steps."""
    generate.generate(pipe, spec)
    return [generate.generate(pipe, spec).record.seconds for _ in range(repeats)]


def _student_times(model: str, repeats: int, own: float) -> dict[str, Measure]:
    """Seconds of the same video in two calls of the student, alone and relative to `own`; {} without a student."""
    if loading.find(model).student is None:
        return {}
    pipe = loading.load(model, quiet=True, fast=True)
    spec = GenerationSpec(prompt=CLOCK, frames=16, **loading.sampling(pipe) | {"steps": 2})
    found = _warm_seconds(pipe, spec, repeats)
    return {"timings/student": of_times(found), "timings/student ratio": of_times([x / own for x in found])}


def measure_temporal(pipe, seeds: int, steps: int = 12) -> dict[str, Measure]:
    """Flicker and the action read, for the same seeds with temporal layers on, off, and each kind alone."""
    items = [cartoon.item(SEED, i, split="all") for i in range(seeds)]
    specs = [GenerationSpec(item.caption, seed=i, steps=steps) for i, item in enumerate(items)]
    found = {"temporal/drawings/flicker": of_values([metrics.flicker(item.frames) for item in items])}
    for way, off in tqdm(TEMPORAL.items(), desc="temporal", unit="variant"):
        with temporal.temporal_layers_off(pipe.unet, off):
            videos = [made.frames for made in generate.generate_batch(pipe, specs)]
        counted = metrics.adherence(metrics.read(np.stack(videos)), [item.labels for item in items])
        found[f"temporal/{way}/flicker"] = of_values([metrics.flicker(video) for video in videos])
        found[f"temporal/{way}/action"] = of_share(counted["action"])
    return found


def _chunks(things: list, size: int, what: str) -> Iterator[list]:
    for start in tqdm(range(0, len(things), size), desc=what, unit="batch"):
        yield things[start : start + size]


def _seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
