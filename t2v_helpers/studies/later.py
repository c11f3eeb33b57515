"""What do flow matching and a transformer change, on the corner of the world that from_scratch.py learns?

Same clips, batches, seeds, noise and number of steps; one thing is changed at a time. Each of RUNS is sampled by
Euler's method along its flow ("first order"), and by DPM-Solver++ ("second order"): see `Run.ways`. The DiT is as large
as to cost as many FLOPs as the UNet, within 6 %; `flops` counts them.

Cost: 20 CPU minutes; NOISE is not trained again, but read from from_scratch's table. Notebook 14 asks whether the
paired difference of velocity and noise, of 32 videos from two seeds of each, leaves out 0: one of 20 points does, if
the two disagree in a third of the videos. The other two have one training and 24 videos at the end, and their shares
intervals of +-17 points; the notebook says where these overlap.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, special

from t2v_helpers.core import tables, video
from t2v_helpers.diffusion import flow_matching, samplers
from t2v_helpers.inside import tracing
from t2v_helpers.inside.dit import Config, DiT
from t2v_helpers.metrics.estimates import Measure, bootstrap
from t2v_helpers.studies import from_scratch as corner
from t2v_helpers.studies.study import Study
from t2v_helpers.training.denoiser import noise_error


def dpm_along_the_flow(predict: Callable, start: Tensor, steps: int) -> Iterator[Tensor]:
    """DPM-Solver++ with a network of the velocity: it is one of the noise as well."""
    return samplers.sample("dpm++", flow_matching.as_noise(predict), start, steps)


FLOW_WAYS = {corner.FIRST: flow_matching.sample, corner.SECOND: dpm_along_the_flow}


class Velocity(corner.Net):
    """The same network, whose layers give the velocity: v = net(x_t, 1000 sigma, words)."""

    def forward(self, x_t: Tensor, t: Tensor, words: Tensor) -> Tensor:
        """The velocity at x_t [b c f h w]."""
        return self.answer(x_t, t, words)


class ByDit(corner.Net):
    """The network of from_scratch with a DiT for a UNet; its layers give v, too."""

    def __init__(self, tokenizer, channels: int):
        super().__init__(tokenizer, channels, DiT(Config(in_channels=channels, cross_attention_dim=corner.TEXT_WIDTH)))


def in_the_middle(u: Tensor) -> Tensor:
    """Shares of noise that are half clean, half noise more often than either: logit-normal, from uniform u in (0, 1).

    Esser et al. 2024, arXiv 2403.03206, section 3.1, with m = 0 and s = 1.
    """
    return special.ndtri(u).sigmoid()


def velocity_error(net, x_0: Tensor, eps: Tensor, u: Tensor, words: Tensor, sigmas: Callable | None = None) -> Tensor:
    """||v - (eps - x_0)||^2 [b] at shares of noise u [b], or at `sigmas` of them.

    Lipman et al. 2022, arXiv 2210.02747, equation 23; Liu et al. 2022, arXiv 2209.03003, equation 1.
    """
    sigma = sigmas(u) if sigmas else u
    v = net(flow_matching.mix(x_0, eps, sigma), flow_matching.TIMES * sigma, words)
    return noise_error(v, flow_matching.velocity(x_0, eps))


@dataclass(frozen=True)
class Run:
    """A training: its name, its network and objective (None: the noise), ways of sampling, and its highest rate."""

    name: str
    kind: type[corner.Net] = corner.Net
    error_of: Callable | None = None
    ways: dict[str, corner.Way] = field(default_factory=lambda: corner.WAYS)
    lr: float = corner.LR

    def train(self, pipe, clips: corner.Clips, steps: int, seed: int = 0) -> Iterator[tuple[float, corner.Net]]:
        """Train a new network: see from_scratch.train."""
        net = corner.new_net(pipe, seed, self.kind)
        return corner.train(net, clips, steps, self.lr, seed=seed, error_of=self.error_of)


NOISE, FLOW, MIDDLE, DIT = RUNS = (
    Run("the noise"),
    Run("the velocity", Velocity, velocity_error, FLOW_WAYS),
    Run("the velocity, times in the middle", Velocity, partial(velocity_error, sigmas=in_the_middle), FLOW_WAYS),
    Run("the noise, by a DiT", ByDit, lr=2e-3),
)
TRAININGS = ((FLOW, 0), (MIDDLE, 0), (DIT, 0), (FLOW, 1))  # with their seeds


def line(pipe, k: int) -> dict:
    """Training k of TRAININGS; films of the first alone. OSError, before it: no ffmpeg."""
    video.check_encoder()
    run, seed = TRAININGS[k]
    clips = corner.clips(pipe, seed=seed)
    training = run.train(pipe, clips, int(corner.LAST), seed)
    row, _, average = corner.followed(pipe, training, clips, run.ways[corner.SECOND])
    found, films = corner.sampled(pipe, average, clips, run.ways)
    row["found"] |= found
    return {"seed": k, "prompt": run.name} | row | ({} if k else {"films": films})


def load() -> list[dict]:
    """The rows of the table, and from_scratch's sound trainings, which are those of NOISE. Errors: of Study.load."""
    sound = corner.of_run(corner.STUDY.load(), corner.RUNS[0]["name"])
    return [*STUDY.load(), *(row | {"prompt": NOISE.name} for row in sound)]


def share(rows: Sequence[dict], run: Run, at: str | Sequence[str], asked=corner.TRAINED) -> Measure | None:
    """The share of a run's videos at a place of "found", or several, that show what was asked; None: not trained yet.

    asked: of which combinations.
    """
    of = corner.of_run(rows, run.name)
    return corner.pooled(of, at, asked) if of else None


def ahead(rows: Sequence[dict], run: Run, other: Run, at: str) -> Measure:
    """By how much more of its videos a run shows what was asked: the same words and noise in both, video by video.

    ValueError: one of them is not trained yet.
    """
    first, second = (_hits(rows, one, at) for one in (run, other))
    n = min(len(first), len(second))  # of the seeds that both have
    return bootstrap(first[:n], second[:n])


def _hits(rows: Sequence[dict], run: Run, at: str) -> list[float]:
    return [float("0" not in one) for row in corner.of_run(rows, run.name) for one in row["found"][at]]


def flops(net: corner.Net, clips: corner.Clips, steps: int = int(corner.LAST)) -> int:
    """FLOPs of a training's forward passes, by torch's count; the way back costs twice as many. It takes a second."""
    early = min(steps, corner.IMAGES_FIRST)
    images = early + sum(k % corner.IMAGES_EVERY == 0 for k in range(early, steps))
    calls = {1: images * corner.IMAGES, corner.FRAMES: (steps - images) * corner.VIDEOS}  # frames -> clips
    return sum(count * _call(net, clips, frames) for frames, count in calls.items())


def _call(net: corner.Net, clips: corner.Clips, frames: int) -> int:
    x = torch.zeros(1, clips.latents.shape[1], frames, *clips.latents.shape[3:])  # [1 c f h w]
    return tracing.trace(net, x, torch.zeros(1), clips.no_words[None]).total.flops


def summary(rows: list[dict]) -> str:
    """Every run: how often its videos show what was asked, over the minutes and over the steps of a sampler."""
    at = [str(minute * corner.STEPS_A_MINUTE) for minute in corner.MINUTES]
    places = [corner.place(order, steps) for order, steps in corner.SAMPLED]
    heads = (*(f"min {m}" for m in corner.MINUTES), *(f"{order[0]}{steps}" for order, steps in corner.SAMPLED))
    lines = [("learns", "seeds", *heads)]
    for run in RUNS:
        if of := corner.of_run(rows, run.name):
            shares = (f"{corner.pooled(of, one).value:.0%}" for one in (*at, *places))
            lines.append((run.name, str(len(of)), *shares))
    return tables.aligned(lines, right=True)


STUDY = Study(
    name="later",
    asks="What do flow matching and a transformer change?",
    file="later.jsonl",
    seeds=len(TRAININGS),
    minutes=10,
    head=lambda pipe: {
        "runs": [[run.name, seed] for run, seed in TRAININGS], "lr": [run.lr for run in RUNS], "clips": corner.CLIPS,
        "frames": corner.FRAMES, "steps": corner.LAST, "sampled": [[*one] for one in corner.SAMPLED],
    },
    row=line,
    summary=summary,
)  # fmt: skip
