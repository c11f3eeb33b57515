"""What is wrong with a training loop? It is run for a moment on a network and clips that watch it.

The clips are noise of a known scale, each different from all others, and every caption says which clip it belongs to.
So what the loop gives to the network can be taken apart: which clip is in x_t, how much of it, and how much noise. The
gradient that arrives at the network's output shows what the loop compares it with, and the steps of its weights show
what the optimizer does. No word of the loop itself is read.

    diagnose(train)  ->  "" for a sound loop, else the name of the first of CAUSES that fits

The loop is a generator, train(net, clips, steps), as in notebook 08.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


@dataclass
class Seen:
    """A training, taken apart. The lists have an entry a step; `signal` and `rest` are those of the clip in x_t."""

    material: Material
    calls: list[Call]
    losses: list[float]
    weights: list[Tensor]  # after each step, and before the first
    averages: list[Tensor]
    stored: list[Tensor]  # the gradients that the optimizer finds

    def __post_init__(self):
        self.found = [self._apart(call) for call in self.calls]

    def _apart(self, call: Call) -> tuple[Tensor, Tensor, Tensor]:
        """Of each x_t of a call: which clip it is [b], how much of that is in it [b], and what is left over."""
        clips = self.material.latents[:, :, : call.x_t.shape[2]].flatten(1) / SCALE  # [n d]
        x = call.x_t.flatten(1)  # [b d]
        shares = x @ clips.T / clips.square().sum(1)  # [b n]
        which = shares.abs().argmax(1)
        signal = shares.gather(1, which[:, None])[:, 0]
        return which, signal, x - signal[:, None] * clips[which]

    def each(self) -> Iterator[tuple[Call, Tensor, Tensor, Tensor, Tensor]]:
        """Every call with which clip, how much of it, the rest, and the abar of the time that was told."""
        for call, found in zip(self.calls, self.found, strict=True):
            yield call, *found, ABAR[call.t.long().clamp(0, 999)]


def watch(train: Callable) -> Seen:
    """Run the loop on a network and clips that watch it, and take apart what it did."""
    net, material = Watched(), Material()
    losses, weights, averages = [], [net.bias.detach().clone()], []
    for loss, average in train(net, material, STEPS):
        losses.append(float(loss))
        weights.append(net.bias.detach().clone())
        averages.append(average.bias.detach().clone())
    return Seen(material, net.calls, losses, weights, averages, net.gradients)


# --- what can be wrong; each says whether it is, most basic first


def no_step(seen: Seen) -> bool:
    """No call of the network in which a gradient came back."""
    return not seen.calls or any(call.grad is None for call in seen.calls) or not seen.losses


def same_clips(seen: Seen) -> bool:
    """Some clips are never learned from."""
    return len({int(one) for _, which, _, _, abar in seen.each() for one in which[abar > CLEAR]}) < 0.75 * COUNT


def no_images(seen: Seen) -> bool:
    """Images alone, or videos alone."""
    return len({call.x_t.shape[2] for call in seen.calls}) == 1


def not_scaled(seen: Seen) -> bool:
    """The clip in x_t is too large, or too small, by the same factor at every time."""
    factors = torch.cat([(signal / abar.sqrt())[abar > 2 * CLEAR] for _, _, signal, _, abar in seen.each()])
    if not len(factors):
        return False
    low, middle, high = factors.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return not 0.6 < middle < 1.6 and high < 1.5 * low


def no_noise(seen: Seen) -> bool:
    """Hardly anything is in x_t but the clip."""
    return _spread(torch.cat([rest.flatten() for _, _, rest in seen.found])) < 0.1


def same_noise(seen: Seen) -> bool:
    """The noise of one sample is that of another one, or of the step before, or of the next frame."""
    videos = [rest.unflatten(1, call.x_t.shape[1:]) for call, _, _, rest, _ in seen.each() if call.x_t.shape[2] > 1]
    samples = [(one[0], one[1]) for one in videos]
    frames = [(one[:, :, 0], one[:, :, 1]) for one in videos]
    steps = [(one[0], other[0]) for one, other in zip(videos, videos[1:], strict=False)]
    return any(_mean([_alike(a, b) for a, b in pairs]) > 0.3 for pairs in (samples, frames, steps))


def no_root(seen: Seen) -> bool:
    """The clip is multiplied by abar, not by its root."""
    off = [((signal - abar).abs().mean(), (signal - abar.sqrt()).abs().mean()) for _, _, signal, _, abar in seen.each()]
    return _mean([one for one, _ in off]) < 0.05 < _mean([other for _, other in off])


def wrong_time(seen: Seen) -> bool:
    """The noise in x_t is not that of the time that the network was told."""
    return _mean([(signal - abar.sqrt()).abs().mean() for _, _, signal, _, abar in seen.each()]) > 0.1


def few_times(seen: Seen) -> bool:
    """Some part of the schedule is never trained."""
    t = torch.cat([call.t for call in seen.calls])
    return t.min() > 100 or t.max() < 900


def shuffled_words(seen: Seen) -> bool:
    """Captions of other clips."""
    pairs = [((which + 1)[abar > CLEAR], call.words[abar > CLEAR, 0]) for call, which, _, _, abar in seen.each()]
    wrong = torch.cat([(said != which)[said > 0] for which, said in pairs]).float()
    return len(wrong) > 0 and wrong.mean().item() > 0.1


def never_silent(seen: Seen) -> bool:
    """No caption is ever left out."""
    return _silent(seen) == 0


def often_silent(seen: Seen) -> bool:
    """Most captions are left out."""
    return _silent(seen) > 0.5


def wrong_target(seen: Seen) -> bool:
    """The gradient leads to something else than the noise in x_t, and not away from it."""
    return _towards(seen, lambda eps, x_0, abar: eps) < 0.9 and not wrong_sign(seen)


def learns_x_0(seen: Seen) -> bool:
    """The gradient leads to the clip."""
    return _towards(seen, lambda eps, x_0, abar: x_0) > 0.9


def learns_v(seen: Seen) -> bool:
    """The gradient leads to v."""
    return _towards(seen, lambda eps, x_0, abar: _column(abar.sqrt()) * eps - _column((1 - abar).sqrt()) * x_0) > 0.9


def wrong_sign(seen: Seen) -> bool:
    """The gradient leads away from the noise: its sign, or the loss's, is turned."""
    return _towards(seen, lambda eps, x_0, abar: eps) < -0.9


def weights_upside_down(seen: Seen) -> bool:
    """A nearly clean sample counts for far more than a noisy one."""
    size = [(abar, call.grad.flatten(1).norm(dim=1)) for call, *_, abar in seen.each()]
    clean, noisy = (torch.cat([s[pick(abar)] for abar, s in size]) for pick in (lambda a: a > 0.9, lambda a: a < 0.3))
    return len(clean) > 0 and len(noisy) > 0 and clean.mean() > 3 * noisy.mean()


def uphill(seen: Seen) -> bool:
    """The weights go along the gradient, not against it."""
    return _mean([_alike(step, grad) for step, grad in zip(_steps(seen), seen.stored, strict=True)]) > 0.05


def kept_gradients(seen: Seen) -> bool:
    """What the optimizer finds is not the last step's gradient alone."""
    fresh = [call.grad.sum(dim=(0, 2), keepdim=True)[0] for call in seen.calls]
    return _mean([_alike(a, b) for a, b in zip(fresh, seen.stored, strict=False)]) < 0.9


def rate_too_high(seen: Seen) -> bool:
    """A weight's step is far too long."""
    return _longest(seen) > HIGHEST_STEP


def rate_too_low(seen: Seen) -> bool:
    """A weight hardly moves."""
    return _longest(seen) < LOWEST_STEP


def average_stays(seen: Seen) -> bool:
    """The average has hardly left the untrained weights behind."""
    return _way(seen) < 0.5


def no_average(seen: Seen) -> bool:
    """The average is the network itself."""
    return all(torch.equal(a, b) for a, b in zip(seen.weights[1:], seen.averages, strict=True))


CAUSES = {  # most basic first: the first that fits is named
    check.__name__: check
    for check in (
        no_step, same_clips, no_images, not_scaled, no_noise, same_noise, no_root, wrong_time, few_times,
        shuffled_words, never_silent, often_silent, wrong_sign, learns_x_0, learns_v, wrong_target,
        weights_upside_down, kept_gradients, uphill, rate_too_high, rate_too_low, average_stays, no_average,
    )
}  # fmt: skip


def diagnose(train: Callable) -> str:
    """The name of the first of CAUSES that fits the loop; "" where none does."""
    seen = watch(train)
    return next((name for name, check in CAUSES.items() if check(seen)), "")


def _towards(seen: Seen, target: Callable) -> float:
    """How the way on which the gradient sends the answer is aligned with the one to this target: -1 to 1."""
    found = []
    for call, which, _, rest, abar in seen.each():
        clips = seen.material.latents[which, :, : call.x_t.shape[2]].flatten(1) / SCALE
        eps = rest / _column((1 - abar).sqrt())
        way = target(eps, clips, abar) - call.answer.flatten(1)
        found += [_alike(a, b) for a, b in zip(-call.grad.flatten(1), way, strict=True)]
    return _mean(found)


def _silent(seen: Seen) -> float:
    return _mean([(call.words == 0).all(dim=1).float().mean() for call in seen.calls])


def _steps(seen: Seen) -> list[Tensor]:
    return [after - before for before, after in zip(seen.weights, seen.weights[1:], strict=False)]


def _longest(seen: Seen) -> float:
    return max(step.abs().median().item() for step in _steps(seen))


def _way(seen: Seen) -> float:
    """How much of the way from the first weights to the mean of the last ones the average has gone."""
    goal = torch.stack(seen.weights[-10:]).mean(0) - seen.weights[0]
    return (((seen.averages[-1] - seen.weights[0]) * goal).sum() / goal.square().sum().clamp(min=1e-20)).item()


def _alike(a: Tensor, b: Tensor) -> float:
    """The cosine between two tensors, -1 to 1; 0 where one is zero."""
    return torch.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


def _spread(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def _column(x: Tensor) -> Tensor:
    return x[:, None]


def _mean(values: list) -> float:
    return float(sum(map(float, values)) / len(values)) if values else 0.0
