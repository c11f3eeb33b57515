"""What is wrong with a training loop? It is run for a moment on a network and clips that watch it.

The clips are noise of a known scale, each different from all others, and every caption says which clip it belongs to.
So what the loop gives to the network can be taken apart: which clip is in x_t, how much of it, and how much noise. The
gradient that arrives at the network's output shows what the loop compares it with, and the steps of its weights show
what the optimizer does. No word of the loop itself is read.

    diagnose(train)  ->  "" for a sound loop, else the name of the first of CAUSES that fits

The loop is a generator, train(net, clips, steps), as in notebook 08.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from t2v_helpers.core import seeding
from t2v_helpers.diffusion import noise

COUNT, CHANNELS, FRAMES, SIDE = 24, 4, 4, 8  # of the clips
SCALE = 5.0  # their standard deviation, as if a VAE had given them
STEPS = 60  # more than any warm-up, and the first steps of an average
ABAR = noise.alphas_cumprod()  # [1000]
CLEAR = 0.3  # with more of abar, one can tell which clip is in x_t
HIGHEST_STEP, LOWEST_STEP = 0.01, 1e-5  # of a weight, in a step of an optimizer


class Watched(nn.Module):
    """A network of one weight for each place of a frame; it keeps what it is asked, and what comes back."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(CHANNELS, 1, SIDE, SIDE))
        self.calls: list[Call] = []
        self.gradients: list[Tensor] = []  # that the optimizer finds
        self.bias.register_post_accumulate_grad_hook(lambda bias: self.gradients.append(bias.grad.clone()))

    def forward(self, x_t: Tensor, t: Tensor, words: Tensor) -> Tensor:
        """The weights, in the shape of x_t [b c f h w]."""
        answer = self.bias + torch.zeros_like(x_t)
        if answer.requires_grad:
            call = Call(x_t.detach().clone(), t.clone(), words.clone(), answer.detach().clone())
            answer.register_hook(lambda grad: setattr(call, "grad", grad.clone()))
            self.calls.append(call)
        return answer

    def __deepcopy__(self, memo: dict) -> "Watched":
        other = Watched()
        other.load_state_dict(self.state_dict())
        return other


@dataclass
class Call:
    """What the network was given in a step, what it answered, and the gradient of the loss at its answer."""

    x_t: Tensor
    t: Tensor
    words: Tensor
    answer: Tensor
    grad: Tensor | None = None


class Material:
    """Clips that can be told apart: latents [n c f h w], words [n t], no_words [t]; every second batch has images."""

    def __init__(self):
        self.latents = SCALE * seeding.noise(range(COUNT), (CHANNELS, FRAMES, SIDE, SIDE))
        self.words = torch.arange(1, COUNT + 1)[:, None].expand(-1, 3).clone()  # [n t]
        self.no_words = torch.zeros(3, dtype=torch.long)

    def draw(self, k: int, dice: torch.Generator, images: bool = True) -> tuple[Tensor, Tensor]:
        """Which clips [b], and their latents [b c f h w]."""
        i = torch.randperm(COUNT, generator=dice)[:12]
        x_0 = self.latents[i]
        return i, x_0[:, :, :1] if images and k % 2 else x_0


class Parts(NamedTuple):
    """A call, taken apart: of each x_t which clip is in it [b], that clip [b d], how much of it [b], and what is left
    over [b d]; and the abar of the time that was told [b]."""

    call: Call
    which: Tensor
    clip: Tensor
    signal: Tensor
    rest: Tensor
    abar: Tensor


@dataclass
class Seen:
    """A training, taken apart. The lists have an entry a step."""

    parts: list[Parts]
    losses: list[float]
    weights: list[Tensor]  # after each step, and before the first
    averages: list[Tensor]
    stored: list[Tensor]  # the gradients that the optimizer finds


def watch(train: Callable) -> Seen:
    """Run the loop on a network and clips that watch it, and take apart what it did."""
    net, material = Watched(), Material()
    losses, weights, averages = [], [net.bias.detach().clone()], []
    for loss, average in train(net, material, STEPS):
        losses.append(float(loss))
        weights.append(net.bias.detach().clone())
        averages.append(average.bias.detach().clone())
    return Seen([_apart(call, material) for call in net.calls], losses, weights, averages, net.gradients)


def _apart(call: Call, material: Material) -> Parts:
    clips = material.latents[:, :, : call.x_t.shape[2]].flatten(1) / SCALE  # [n d]
    x = call.x_t.flatten(1)  # [b d]
    shares = x @ clips.T / clips.square().sum(1)  # [b n]
    which = shares.abs().argmax(1)
    signal, clip = shares.gather(1, which[:, None]), clips[which]  # [b 1], [b d]
    return Parts(call, which, clip, signal[:, 0], x - signal * clip, ABAR[call.t.long().clamp(0, 999)])


def _not_scaled(seen: Seen) -> bool:
    """Whether the clip in x_t is too large, or too small, by the same factor at every time."""
    factors = torch.cat([(one.signal / one.abar.sqrt())[one.abar > 2 * CLEAR] for one in seen.parts])
    if not len(factors):
        return False
    low, middle, high = factors.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return not 0.6 < middle < 1.6 and high < 1.5 * low


def _same_noise(seen: Seen) -> bool:
    """Whether the noise of one sample is that of another one, or of the step before, or of the next frame."""
    shapes = [one.call.x_t.shape[1:] for one in seen.parts]
    videos = [one.rest.unflatten(1, shape) for one, shape in zip(seen.parts, shapes, strict=True) if shape[1] > 1]
    samples = [(one[0], one[1]) for one in videos]
    frames = [(one[:, :, 0], one[:, :, 1]) for one in videos]
    steps = [(one[0], other[0]) for one, other in pairwise(videos)]
    return any(_alike(pairs) > 0.3 for pairs in (samples, frames, steps))


def _few_times(seen: Seen) -> bool:
    """Whether some part of the schedule is never trained."""
    t = torch.cat([one.call.t for one in seen.parts])
    return t.min() > 100 or t.max() < 900


def _shuffled_words(seen: Seen) -> bool:
    """Whether the captions are those of other clips."""
    pairs = [((one.which + 1)[one.abar > CLEAR], one.call.words[one.abar > CLEAR, 0]) for one in seen.parts]
    wrong = torch.cat([(said != which)[said > 0] for which, said in pairs]).float()
    return len(wrong) > 0 and wrong.mean().item() > 0.1


def _weights_upside_down(seen: Seen) -> bool:
    """Whether a nearly clean sample counts for far more than a noisy one."""
    size = torch.cat([one.call.grad.flatten(1).norm(dim=1) for one in seen.parts])
    abar = torch.cat([one.abar for one in seen.parts])
    clean, noisy = size[abar > 0.9], size[abar < 0.3]
    return len(clean) > 0 and len(noisy) > 0 and clean.mean() > 3 * noisy.mean()


def _kept_gradients(seen: Seen) -> bool:
    """Whether what the optimizer finds is not the last step's gradient alone."""
    fresh = (one.call.grad.sum(dim=(0, 2), keepdim=True)[0] for one in seen.parts)
    return _alike(zip(fresh, seen.stored, strict=False)) < 0.9


CAUSES: dict[str, Callable[[Seen], bool]] = {  # most basic first: the first that fits is named, for advice.json
    "no_step": lambda seen: any(one.call.grad is None for one in seen.parts) or not seen.parts or not seen.losses,
    "same_clips": lambda seen: len({int(i) for one in seen.parts for i in one.which[one.abar > CLEAR]}) < 0.75 * COUNT,
    "no_images": lambda seen: len({one.call.x_t.shape[2] for one in seen.parts}) == 1,  # or no videos
    "not_scaled": _not_scaled,
    "no_noise": lambda seen: torch.cat([one.rest.flatten() for one in seen.parts]).square().mean().sqrt() < 0.1,
    "same_noise": _same_noise,
    "no_root": lambda seen: _off(seen, 1) < 0.05 < _off(seen, 0.5),
    "wrong_time": lambda seen: _off(seen, 0.5) > 0.1,
    "few_times": _few_times,
    "shuffled_words": _shuffled_words,
    "never_silent": lambda seen: _silent(seen) == 0,
    "often_silent": lambda seen: _silent(seen) > 0.5,
    "wrong_sign": lambda seen: _towards(seen, lambda eps, x_0, abar: eps) < -0.9,
    "learns_x_0": lambda seen: _towards(seen, lambda eps, x_0, abar: x_0) > 0.9,
    "learns_v": lambda seen: _towards(seen, lambda eps, x_0, abar: abar.sqrt() * eps - (1 - abar).sqrt() * x_0) > 0.9,
    "wrong_target": lambda seen: _towards(seen, lambda eps, x_0, abar: eps) < 0.9,
    "weights_upside_down": _weights_upside_down,
    "kept_gradients": _kept_gradients,
    "uphill": lambda seen: _alike(zip(_steps(seen), seen.stored, strict=True)) > 0.05,
    "rate_too_high": lambda seen: _longest(seen) > HIGHEST_STEP,
    "rate_too_low": lambda seen: _longest(seen) < LOWEST_STEP,
    "average_stays": lambda seen: _way(seen) < 0.5,
    "no_average": lambda seen: all(map(torch.equal, seen.weights[1:], seen.averages)),
}


def diagnose(train: Callable) -> str:
    """The name of the first of CAUSES that fits the loop; "" where none does."""
    seen = watch(train)
    return next((name for name, fits in CAUSES.items() if fits(seen)), "")


def _off(seen: Seen, power: float) -> float:
    """How far the share of the clip in x_t is from this power of abar."""
    return _mean((one.signal - one.abar**power).abs().mean() for one in seen.parts)


def _towards(seen: Seen, target: Callable) -> float:
    """How the way on which the gradient sends the answer is aligned with the one to this target: -1 to 1."""
    found = []
    for call, _, clip, _, rest, abar in seen.parts:
        abar = abar[:, None]
        way = target(rest / (1 - abar).sqrt(), clip, abar) - call.answer.flatten(1)
        found.append(torch.cosine_similarity(-call.grad.flatten(1), way))
    return _mean(torch.cat(found))


def _silent(seen: Seen) -> float:
    return _mean((one.call.words == 0).all(dim=1).float().mean() for one in seen.parts)


def _steps(seen: Seen) -> list[Tensor]:
    return [after - before for before, after in pairwise(seen.weights)]


def _longest(seen: Seen) -> float:
    return max(step.abs().median().item() for step in _steps(seen))


def _way(seen: Seen) -> float:
    """How much of the way from the first weights to the mean of the last ones the average has gone."""
    goal = torch.stack(seen.weights[-10:]).mean(0) - seen.weights[0]
    return (((seen.averages[-1] - seen.weights[0]) * goal).sum() / goal.square().sum().clamp(min=1e-20)).item()


def _alike(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The mean cosine between two tensors, -1 to 1; 0 where one is zero."""
    return _mean(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0) for a, b in pairs)


def _mean(values: Iterable) -> float:
    return float(np.mean([*map(float, values)] or [0.0]))
