"""How does a small model learn a corner of the cartoon world from nothing, and what do data and habits change?

The corner has four subjects, four actions, one place and one style. Each subject never does one of the actions in
training, so that four combinations are held out. A training is a row of the table: one of RUNS with one seed. Its steps
are counted, not its minutes, so that it is the same everywhere; STEPS_A_MINUTE says how many two CPU cores make.
Latents are encoded once; the network is the course's own UNet with narrow layers, and a text encoder of one layer.

Cost: 47 CPU minutes, five for each of TRAININGS (on one thread; two threads take nearly twice the CPU time). Notebook
08's band needs several seeds of the training as it should be, and its share at the end has 72 videos: 85 % would be
75 % to 91 %. A changed training has one seed and 24 videos. It is called a price where its interval lies below the
first: at 54 % (35 % to 72 %) or less. That interval is of its videos; how much a training's seed does, the three sound
ones say. `later` compares its trainings with the sound ones, which are sampled at SAMPLED for it.
"""

import base64
import copy
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import seeding, tables, video
from t2v_helpers.diffusion import noise, samplers
from t2v_helpers.metrics.estimates import Measure, of_share
from t2v_helpers.model import denoising
from t2v_helpers.studies.study import Study
from t2v_helpers.training import data, finetune
from t2v_helpers.training.denoiser import frames_alone, new_course_unet, new_text_encoder

SUBJECTS, ACTIONS = ("robot", "cat", "fish", "duck"), ("jumping", "spinning", "walking left", "sleeping")
CORNER = tuple(cartoon.Labels(subject, action) for subject, action in product(SUBJECTS, ACTIONS))  # in an empty room
HELD_OUT = tuple(cartoon.Labels(subject, action) for subject, action in zip(SUBJECTS, ACTIONS, strict=True))
TRAINED = tuple(labels for labels in CORNER if labels not in HELD_OUT)
SHOWN = TRAINED[0], TRAINED[4], TRAINED[8], TRAINED[9]  # a video of each subject, and of three actions

FRAMES, CLIPS = 8, 12  # of a clip, and of a combination
CLIP_STREAM, WORD_STREAM, NOISE_STREAM = 20_801, 20_802, 20_803  # seeds that nothing else uses
WIDTHS, TEXT_WIDTH = (32, 64), 64  # of the UNet's two levels, and of the text
IMAGES_FIRST, IMAGES_EVERY = 100, 4  # steps of images alone; later, every fourth step is of images
IMAGES, VIDEOS = 16, 4  # in a step
LR, WARM_UP, DECAY, EMPTY = 7e-3, 50, 0.99, 0.1  # highest rate, steps to it, of the average, empty captions
STEPS_A_MINUTE, MINUTES = 240, (1, 2, 3, 4)
WINDOW = 20  # steps, of a point of the loss curve
ASKED = {"steps": 6, "guidance": 3.0}
Way = Callable[[Callable, Tensor, int], Iterator[Tensor]]  # way(predict, start, steps): a sampler, such as DPM
DPM: Way = partial(samplers.sample, "dpm++")
FIRST, SECOND = "first order", "second order"
WAYS = {FIRST: partial(samplers.sample, "ddim", spacing="trailing"), SECOND: DPM}
FEW = (2, 4, 8, 20)  # steps of the first order; each divides 1000, so that DDIM's times are evenly spaced
FILMED = 2, 20
SAMPLED = (*((FIRST, steps) for steps in FEW), (SECOND, 4))
RUNS = (
    {"name": "as it should be"},
    {"name": "every error of the noise counted alike", "most": None},
    {"name": "no caption left out", "empty": 0.0},
    {"name": "videos alone", "images": False},
    {"name": "50 % of the words wrong", "wrong": 0.5},
    {"name": "half the clips", "clips": CLIPS // 2},
    {"name": "half the combinations", "combinations": len(CORNER) // 2},
)
SEEDS = 3  # of the first of RUNS; each of the others is trained once
TRAININGS = (*((RUNS[0], seed) for seed in range(SEEDS)), *((run, 0) for run in RUNS[1:]))
LAST = str(MINUTES[-1] * STEPS_A_MINUTE)
BOTH = LAST, "again"  # the videos at the end, and as many with other noise
ABAR = noise.alphas_cumprod()  # [1000]


@dataclass(frozen=True)
class Clips:
    """Clips to learn from: latents [n c f h w] as the VAE gives them, words and no_words as tokens [n t] and [t]."""

    latents: Tensor
    words: Tensor
    no_words: Tensor

    def draw(self, k: int, dice: torch.Generator, images: bool = True) -> tuple[Tensor, Tensor]:
        """The batch of step k: which clips [b], and their latents [b c f h w]; f is 1 in a step of images."""
        if not images or (k >= IMAGES_FIRST and k % IMAGES_EVERY):
            i = torch.randint(len(self.latents), (VIDEOS,), generator=dice)
            return i, self.latents[i]
        i = torch.randint(len(self.latents), (IMAGES,), generator=dice)
        frame = torch.randint(self.latents.shape[2], (IMAGES,), generator=dice)
        return i, self.latents[i, :, frame].unsqueeze(2)


class Net(nn.Module):
    """The small network: eps = net(x_t, t, words), x_t [b c f h w], t [b], words [b t] as tokens.

    Its layers give v, from which eps follows: where x_t is nearly all noise, eps must be known to a hundredth, v not.
    A single frame has no time, so there the layers along time are left out. unet: another denoiser for its layers.
    """

    def __init__(self, tokenizer, channels: int, unet: nn.Module | None = None):
        super().__init__()
        self.unet = unet or new_course_unet(channels, WIDTHS, TEXT_WIDTH)
        self.text_encoder = new_text_encoder(tokenizer, TEXT_WIDTH, layers=1)

    def forward(self, x_t: Tensor, t: Tensor, words: Tensor) -> Tensor:
        """The noise in x_t [b c f h w]."""
        return noise.eps_from_v(x_t, self.answer(x_t, t, words), ABAR[t.long()])

    def answer(self, x_t: Tensor, t: Tensor, words: Tensor) -> Tensor:
        """What the layers give [b c f h w]."""
        text = self.text_encoder(words)[0]  # [b t d]
        with frames_alone(self.unet) if x_t.shape[2] == 1 else nullcontext():
            return self.unet(x_t, t, text)[0]


def new_net(pipe, seed: int = 0, kind: type[Net] = Net) -> Net:
    """An untrained network for the latents of this pipeline's VAE."""
    return seeding.seeded(seed, lambda: kind(pipe.tokenizer, pipe.vae.config.latent_channels))


@cache
def drawn(pipe) -> tuple[Tensor, list[cartoon.Labels]]:
    """Every clip of the corner as latents [n c f h w], as the VAE gives them, and its labels."""
    labels = [one for one in TRAINED for _ in range(CLIPS)]
    videos = [cartoon.render(one, CLIP_STREAM + i, FRAMES)[0] for i, one in enumerate(labels)]
    return finetune.encode(pipe, videos) / pipe.vae.config.scaling_factor, labels


def clips(pipe, wrong: float = 0.0, each: int | None = None, combinations: int | None = None, seed: int = 0) -> Clips:
    """The clips of a training: `each` of so many combinations (None: all there are), with this share of wrong words."""
    latents, labels = drawn(pipe)
    seen = spread_out(combinations)
    kept = [CLIPS * k + i for k, one in enumerate(TRAINED) if one in seen for i in range(each or CLIPS)]
    dice = np.random.default_rng([WORD_STREAM, seed, 1])
    captions = [_caption(labels[i], wrong, dice) for i in kept]
    words = data.tokens(pipe.tokenizer, [*captions, ""])
    return Clips(latents[kept], words[:-1], words[-1])


def spread_out(combinations: int | None = None) -> list[cartoon.Labels]:
    """So many of the trained combinations (None: all), with each subject and each action about equally often."""

    def turn(labels: cartoon.Labels) -> int:  # 1 to 3: each stands for one action of each subject, and all actions
        return (ACTIONS.index(labels.action) - SUBJECTS.index(labels.subject)) % len(ACTIONS)

    return sorted(TRAINED, key=turn)[:combinations]


def _caption(labels: cartoon.Labels, wrong: float, dice: np.random.Generator) -> str:
    """A caption in a random wording; with chance `wrong` each, subject and action are any other one of the corner."""
    said = [_other(word, words, dice) if dice.random() < wrong else word
            for word, words in ((labels.subject, SUBJECTS), (labels.action, ACTIONS))]  # fmt: skip
    return cartoon.caption(cartoon.Labels(*said), *(int(k) for k in dice.integers(0, 60, size=2)))


def _other(word: str, words: Sequence[str], dice: np.random.Generator) -> str:
    return str(dice.choice([one for one in words if one != word]))


def weight(abar: Tensor, most: float = 5.0) -> Tensor:
    """By what the error of eps counts: min(SNR + 1, most) / SNR, in the shape of abar.

    SNR + 1 is the weight of v (Salimans & Ho 2022, section 4), most the cap of min-SNR (Hang et al. 2023, section 3.4).
    """
    snr = noise.snr(abar)
    return (snr + 1).clamp(max=most) / snr


def noise_error(net: nn.Module, x_0: Tensor, eps: Tensor, u: Tensor, words: Tensor, most: float | None = 5.0) -> Tensor:
    """The weighted squared error of the noise [b] at times u [b], from 0 (clean) to 1."""
    t = (u * len(ABAR)).long()  # [b]
    error = (net(noise.add_noise(x_0, eps, ABAR[t]), t, words) - eps).square().mean((1, 2, 3, 4))  # [b]
    return error * (weight(ABAR[t], most) if most else 1)


def train(
    net: nn.Module, clips: Clips, steps: int, lr: float = LR, images: bool = True, empty: float = EMPTY,
    most: float | None = 5.0, decay: float = DECAY, seed: int = 0, error_of: Callable[..., Tensor] | None = None,
) -> Iterator[tuple[float, nn.Module]]:  # fmt: skip
    """Train the network; after each step, yield its loss, and the network with averaged weights.

    This is the loop of notebook 08, which explains it line by line; a test holds the two equal. error_of: another
    objective than `noise_error`, with the arguments of that.
    """
    error_of = error_of or partial(noise_error, most=most)
    dice, average, scale = seeding.generator(seed), copy.deepcopy(net), 1 / clips.latents.std()
    optimizer = torch.optim.AdamW(net.parameters(), lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    for k in range(steps):
        i, x_0 = clips.draw(k, dice, images)  # [b], [b c f h w]
        b, x_0 = len(i), x_0 * scale
        u = (torch.arange(b) + torch.rand(b, generator=dice)) / b  # [b]
        eps = torch.randn(x_0.shape, generator=dice)
        silent = torch.rand(b, generator=dice) < empty
        words = torch.where(silent[:, None], clips.no_words, clips.words[i])  # [b t]
        loss = error_of(net, x_0, eps, u, words).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = lr * min((k + 1) / WARM_UP, (WARM_UP / (k + 1)) ** 0.5)
        optimizer.step()
        keep = min(decay, (1 + k) / (10 + k))
        with torch.no_grad():
            for mean, p in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(p, 1 - keep)
        yield loss.item(), average


@torch.no_grad()
def latents(
    net: nn.Module, words: Tensor, no_words: Tensor, start: Tensor, steps: int, guidance: float, way: Way = DPM
) -> Tensor:
    """From noise to latents of unit variance [b c f h w], by DPM-Solver++ or another way, with guidance."""

    def predict(x_t: Tensor, t: float) -> Tensor:
        times = torch.full((len(x_t),), t)
        with_words = net(x_t, times, words)
        if guidance == 1:
            return with_words
        without = net(x_t, times, no_words.expand_as(words))
        return without + guidance * (with_words - without)

    *_, x_0 = way(predict, start, steps)
    return x_0


def videos(pipe, net: nn.Module, clips: Clips, asked: Sequence[cartoon.Labels], seed: int = 0, **how) -> np.ndarray:
    """A video of each of `asked`, uint8 [b f h w 3]; its noise is that of its place in the list. how: see ASKED."""
    words = data.tokens(pipe.tokenizer, [cartoon.caption(labels) for labels in asked])
    seeds = [NOISE_STREAM + 1000 * seed + i for i in range(len(asked))]
    start = seeding.noise(seeds, (clips.latents.shape[1], FRAMES, *clips.latents.shape[3:]))
    made = latents(net, words, clips.no_words, start, **ASKED | how)  # [b c f h w]
    return denoising.decode_latents(pipe, made * clips.latents.std() * pipe.vae.config.scaling_factor)


def digits(frames: np.ndarray, asked: Sequence[cartoon.Labels]) -> list[str]:
    """What the judge reads in each video: see metrics.digits."""
    return [metrics.digits(one, labels) for one, labels in zip(frames, asked, strict=True)]


def line(pipe, k: int) -> dict:
    """Training k of TRAININGS; films of the first alone. OSError, before it: no ffmpeg."""
    video.check_encoder()
    run, seed = TRAININGS[k]
    material = clips(pipe, run.get("wrong", 0.0), run.get("clips"), run.get("combinations"), seed)
    options = {name: value for name, value in run.items() if name in ("images", "empty", "most")}
    net = new_net(pipe, seed)
    row, films, average = followed(pipe, train(net, material, int(LAST), seed=seed, **options), material)
    if run == RUNS[0]:
        again, more = sampled(pipe, average, material)
        row["found"] |= again | _more(pipe, net, average, material)
        films |= more
    return {"seed": k, "prompt": run["name"]} | row | ({} if k else {"films": films})


def followed(pipe, training: Iterator, material: Clips, way: Way = DPM) -> tuple[dict, dict[str, str], nn.Module]:
    """A training to its end: {"cpu_seconds", "losses", "found"}, its films, and its averaged network.

    training: yields loss and averaged network. found: `digits` after each of MINUTES, and of other noise at the end.
    """
    began, losses, found, films = time.process_time(), [], {}, {}
    for step, (loss, average) in enumerate(training, 1):
        losses.append(loss)
        if step in [minute * STEPS_A_MINUTE for minute in MINUTES]:
            spent = time.process_time()
            frames = videos(pipe, average, material, CORNER, way=way)
            found[str(step)], films[str(step)] = digits(frames, CORNER), film(frames)
            began += time.process_time() - spent
    seconds, curve = round(time.process_time() - began), [round(float(x), 4) for x in windows(losses)]
    found["again"] = digits(videos(pipe, average, material, CORNER, seed=1, way=way), CORNER)
    return {"cpu_seconds": seconds, "losses": curve, "found": found}, films, average


def sampled(pipe, net: nn.Module, material: Clips, ways: Mapping[str, Way] = WAYS) -> tuple[dict, dict]:
    """What the judge reads in videos of each of SAMPLED, and the films of FILMED, by `place`; ways: of each order."""
    made = {
        place(order, steps): videos(pipe, net, material, CORNER, way=ways[order], steps=steps)
        for order, steps in SAMPLED
    }
    filmed = [place(FIRST, steps) for steps in FILMED]
    return {at: digits(frames, CORNER) for at, frames in made.items()}, {at: film(made[at]) for at in filmed}


def place(order: str, steps: int) -> str:
    """Where "found" has the videos of so many steps, by the sampler of FIRST or SECOND order."""
    return f"{order}, {steps} steps"


def _more(pipe, net: nn.Module, average: nn.Module, material: Clips) -> dict[str, list[str]]:
    """What a sound training is asked beyond the rest: the weights as they are, and no guidance."""
    ways = {"not averaged": (net, {}), "guidance 1": (average, {"guidance": 1.0})}
    return {name: digits(videos(pipe, one, material, CORNER, **how), CORNER) for name, (one, how) in ways.items()}


def film(frames: np.ndarray) -> str:
    """The videos of SHOWN side by side, as an mp4 in base64. frames: a video for each of CORNER."""
    shown = [frames[CORNER.index(labels)] for labels in SHOWN]
    return base64.b64encode(video.mp4_bytes(np.concatenate(shown, axis=2))).decode()


def from_film(text: str) -> np.ndarray:
    """The frames of a `film`, uint8 [f h w 3]."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")
        path.write_bytes(base64.b64decode(text))
        return video.read_mp4(path)


def of_run(rows: Sequence[dict], name: str) -> list[dict]:
    """The rows of one of RUNS, a row a seed; there may be none yet."""
    return [row for row in rows if row["prompt"] == name]


def band(rows: Sequence[dict], wider: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest loss of each window over the seeds of the training as it should be, a little wider."""
    curves = np.array([row["losses"] for row in of_run(rows, RUNS[0]["name"])])  # [seeds windows]
    return (1 - wider) * curves.min(0), (1 + wider) * curves.max(0)


def windows(losses: Sequence[float]) -> np.ndarray:
    """The mean loss of each WINDOW of steps; a last one that is not full is left out."""
    count = len(losses) // WINDOW
    return np.array(losses[: count * WINDOW]).reshape(count, WINDOW).mean(1)


def leaves(curve: Sequence[float], low: Sequence[float], high: Sequence[float], patience: int = 2) -> int:
    """How many windows pass before `patience` of them in a row lie outside the band; all of them if that never happens.

    ValueError: a loss is not finite, or the curve is longer than the band.
    """
    if lost := [k for k, x in enumerate(curve) if not math.isfinite(x)]:
        raise ValueError(f"curve is not finite in window {lost[0]}: lower the learning rate, and begin anew.")
    if len(curve) > len(low):
        raise ValueError(f"curve has {len(curve)} windows, but the band ends after {len(low)}: cut the curve there.")
    outside = [not a <= x <= b for x, a, b in zip(curve, low, high, strict=False)]
    runs = (k for k in range(len(outside) - patience + 1) if all(outside[k : k + patience]))
    return next(runs, len(curve))


def verdict(losses: Sequence[float], rows: Sequence[dict]) -> str:
    """Whether a training's losses, one a step, stay in the band of the table, and where they leave it."""
    (low, high), curve = band(rows), windows(losses)[: len(band(rows)[0])]
    k = leaves(curve, low, high)
    if k == len(curve):
        return f"normal: all {k} windows of {WINDOW} steps are in the band"
    side = "above" if curve[k] > high[k] else "below"
    return f"leaves the band at step {k * WINDOW}, {side}"


def summary(rows: list[dict]) -> str:
    """Every training: its loss at the end, and how often its videos show what was asked."""
    lines = [("training", "seeds", "CPU s", "loss", "trained", "held out")]
    for run in RUNS:
        if of := of_run(rows, run["name"]):
            ends = [row["losses"][-1] for row in of]
            shares = (f"{pooled(of, BOTH, kind).value:.0%}" for kind in (TRAINED, HELD_OUT))
            seconds = np.mean([row["cpu_seconds"] for row in of])
            lines.append((run["name"], str(len(of)), f"{seconds:.0f}", f"{np.mean(ends):.3f}", *shares))
    return tables.aligned(lines, right=True)


def pooled(rows: Sequence[dict], at: str | Sequence[str], asked: Sequence[cartoon.Labels] = TRAINED) -> Measure:
    """The share of all these rows' videos at one place of "found", or at several, that show what was asked."""
    found = [row["found"][place] for row in rows for place in ([at] if isinstance(at, str) else at)]
    kept = [one for each in found for one, labels in zip(each, CORNER, strict=True) if labels in asked]
    return of_share(metrics.digits_share(kept))


STUDY = Study(
    name="from_scratch",
    asks="How does a small model learn a corner of the world, and what do data and habits change?",
    file="from_scratch.jsonl",
    seeds=len(TRAININGS),
    minutes=24,
    head=lambda pipe: {
        "corner": [*SUBJECTS, *ACTIONS], "clips": CLIPS, "frames": FRAMES, "widths": [*WIDTHS], "lr": LR, "steps": LAST,
    },
    row=line,
    summary=summary,
)  # fmt: skip
