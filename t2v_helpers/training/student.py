"""Training of the student: the teacher's UNet once more, with guidance built in and only a few steps to take.

The teacher needs two calls a step, with and without the words, and about 25 steps. Two published methods turn it into a
student that needs one call a step and few steps; both start from the teacher's weights.

    halving      one step of the student goes as far as two of the teacher's (Salimans and Ho 2022, arXiv 2202.00512);
                 the first teacher is guided, so guidance is built in (Meng et al. 2022, arXiv 2210.03142); each student
                 teaches the next
    consistency  from everywhere on the teacher's path the student predicts the same end (Song et al. 2023,
                 arXiv 2303.01469); on latents, guided, in large strides (Luo et al. 2023, arXiv 2310.04378)

Letters: b batch, c channels, f frames, h height, w width. Times t are whole numbers from 0 to 999, as in training; a
negative time means no noise at all.
"""

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from t2v_helpers.core import checking
from t2v_helpers.core.seeding import generator
from t2v_helpers.diffusion import grids
from t2v_helpers.diffusion.guidance import combined
from t2v_helpers.diffusion.noise import add_noise, snr, x_0_from_eps, x_0_from_step
from t2v_helpers.inside import identity
from t2v_helpers.training import data
from t2v_helpers.training.denoiser import SCHEDULE, without_dropout, worded
from t2v_helpers.training.loop import Task

STEEPEST = 1e-3  # of the pseudo-Huber loss: errors well below are squared, those above are not
KEPT = 0.25  # of a batch: steps that begin between the student's own, which more calls will take
TIMES = 1000


@dataclass(frozen=True)
class StudentSettings:
    """What decides the student's weights, after the teacher's. `steps_of_teacher`: see the two tasks."""

    seed: int = 0
    steps: int = 500
    batch: int = 6
    frames: int = 16
    lr: float = 5e-4
    warm_up: int = 50
    guidance: float = 4.0  # 1: the teacher has it inside already
    steps_of_teacher: int = 32

    def __post_init__(self):
        for name in ("steps", "batch", "frames"):
            checking.whole(name, getattr(self, name))
        checking.number("guidance", self.guidance, 1)
        if self.steps_of_teacher < 2 or self.steps_of_teacher % 2:
            raise ValueError(f"steps_of_teacher={self.steps_of_teacher} must be an even number, at least 2.")


@dataclass(frozen=True)
class Teacher:
    """What is copied: a UNet, the text encoder, the empty caption's tokens [1 24], alpha-bar [1000].

    guidance: its scale; a student's settings say which.
    """

    unet: nn.Module
    text_encoder: nn.Module
    empty: Tensor
    alphas_cumprod: Tensor
    guidance: float = 1.0

    def to(self, device: torch.device) -> "Teacher":
        """The same teacher on a device."""
        names = ("unet", "text_encoder", "empty", "alphas_cumprod")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def alpha_bar(self, t: Tensor) -> Tensor:
        """Alpha-bar of times [b]; 1 below time 0."""
        return torch.where(t < 0, 1.0, self.alphas_cumprod[t.clamp(min=0)])

    def noised(self, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t at times t [b]; at the last one the noise alone, since that is where a video begins.

        The schedule leaves 7 % of the clip there, and a student that has seen it would miss it (Lin et al. 2024,
        arXiv 2305.08891, section 3.1).
        """
        return add_noise(x_0, eps, torch.where(t == TIMES - 1, 0.0, self.alpha_bar(t)))

    def digits(self) -> str:
        """16 digits that tell these weights from those of another teacher."""
        weights = [x for part in (self.unet, self.text_encoder) for x in part.state_dict().values()]
        return hashlib.sha256("".join(map(identity.told, weights)).encode()).hexdigest()[:16]

    @torch.no_grad()
    def embedded(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [b 24] as embeddings [b 24 d], and as many of the empty caption."""
        text, empty = (self.text_encoder(tokens)[0] for tokens in (words, self.empty))
        return text, empty.expand_as(text)

    @torch.no_grad()
    def eps(self, x_t: Tensor, t: Tensor, text: Tensor, empty: Tensor) -> Tensor:
        """The guided noise in x_t [b c f h w] (Ho and Salimans 2022, arXiv 2207.12598, equation 6)."""
        if self.guidance == 1:
            return self.unet(x_t, t, text).sample
        both = self.unet(torch.cat([x_t] * 2), torch.cat([t] * 2), torch.cat([empty, text])).sample
        return combined(both, self.guidance)

    def move(self, x_t: Tensor, eps: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """From time t to an earlier time s, both [b], along DDIM's way (Song et al. 2021, arXiv 2010.02502, eq. 12)."""
        return add_noise(x_0_from_eps(x_t, eps, self.alpha_bar(t)), eps, self.alpha_bar(s))


def trailing(steps: int) -> np.ndarray:
    """The times of so many steps from 999 down, int64 [steps]. ValueError: more steps than times, or none."""
    return np.array(grids.timesteps(steps, "trailing", TIMES))


class Student(Task):
    """What both methods share: the modules, the batches, the rate."""

    ema = 0.998

    def __init__(self, settings: StudentSettings, teacher: Teacher, clips: data.Clips, tokenizer):
        super().__init__(settings, without_dropout(deepcopy(teacher.unet).requires_grad_(True)))
        self.teacher = replace(teacher, guidance=settings.guidance)
        for part in (teacher.unet, teacher.text_encoder):
            part.requires_grad_(False).eval()
        self.clips, self.tokenizer, self.taught_by = clips, tokenizer, teacher.digits()

    def fingerprint(self) -> dict[str, Any]:
        """The teacher counts, too: the checkpoint of another one's student is refused."""
        return super().fingerprint() | {"teacher": self.taught_by}

    def to(self, device: str | torch.device) -> "Student":
        """The student, with its teacher."""
        super().to(device)
        self.teacher = self.teacher.to(self.device)
        return self

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents x_0 [b c f h w], noise of the same shape, the numbers of the steps to learn [b], tokens [b 24]."""
        rng = np.random.default_rng([self.settings.seed, self.settings.steps_of_teacher, k])  # each halving its own
        x_0, clips = data.cuts(self.clips.latents, self.settings.batch, self.settings.frames, rng)
        eps = torch.randn(x_0.shape, generator=generator(int(rng.integers(2**31))))
        captions = [worded(self.clips.labels[i], rng, empty=0) for i in clips]
        return x_0, eps, torch.from_numpy(self.draw(len(x_0), rng)), data.tokens(self.tokenizer, captions)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """The numbers of the steps to learn [count], rising: one from each of as many equal slices of the choices."""
        return ((np.arange(count) + rng.random(count)) / count * self.choices).astype(np.int64)

    def lr(self, k: int) -> float:
        """Linear warm-up, then a linear decay to zero."""
        return self.settings.lr * min(1, (k + 1) / self.settings.warm_up) * (1 - k / self.steps)


class HalvingTask(Student):
    """Go with one step as far as the teacher with two. Settings: StudentSettings.

    The teacher goes down in `steps_of_teacher` steps, spacing "trailing", the student in half as many. Where a step of
    the teacher ends between two of the student's, the student keeps the teacher's answer: otherwise it would forget
    these times, and be worse in twice as many calls than in its own number.
    """

    name = "halving"
    schedule = SCHEDULE | {"timestep_spacing": "trailing", "set_alpha_to_one": True}

    def __init__(self, settings: StudentSettings, teacher: Teacher, clips: data.Clips, tokenizer):
        super().__init__(settings, teacher, clips, tokenizer)
        self.name = f"halving_{settings.steps_of_teacher // 2}"  # each halving has its own checkpoint

    @property
    def choices(self) -> int:
        """How many steps the student has."""
        return self.settings.steps_of_teacher // 2

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """The teacher's steps from which to go on [count]: even ones begin a step of the student, odd ones are kept."""
        return 2 * super().draw(count, rng) + (rng.random(count) < KEPT)

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        """The squared error of x_0, weighted max(SNR, 1) (Salimans and Ho, section 4: truncated SNR)."""
        x_0, eps, i, words = batch
        t, middle, end = self.times(i), self.times(i + 1), self.times(i + 2 - i % 2)
        text, empty = self.teacher.embedded(words)
        x_t = self.teacher.noised(x_0, eps, t)
        wanted = self.target(x_t, (t, middle, end), text, empty)
        found = x_0_from_eps(x_t, self.modules(x_t, t, text).sample, self.teacher.alpha_bar(t))
        error = (found - wanted).square().mean(dim=(1, 2, 3, 4))
        return (error * snr(self.teacher.alpha_bar(t)).clamp(min=1)).mean(), {"x_0": error.mean().item()}

    def times(self, i: Tensor) -> Tensor:
        """The time at which step i [b] of the teacher begins; -1, no noise, after the last."""
        return torch.from_numpy(np.append(trailing(self.settings.steps_of_teacher), -1)).to(i.device)[i]

    @torch.no_grad()
    def target(self, x_t: Tensor, times: Sequence[Tensor], text: Tensor, empty: Tensor) -> Tensor:
        """The x_0 with which one step of DDIM comes where the teacher comes with two: [b c f h w].

        Where `end` is the middle itself, the second step goes nowhere, and x_0 is the teacher's.
        """
        (t, middle, end), teacher = times, self.teacher
        x = teacher.move(x_t, teacher.eps(x_t, t, text, empty), t, middle)
        x = teacher.move(x, teacher.eps(x, middle, text, empty), middle, end)
        return x_0_from_step(x_t, x, teacher.alpha_bar(t), teacher.alpha_bar(end))


class ConsistencyTask(Student):
    """Point to the same end from both ends of each of the teacher's steps. Settings: StudentSettings.

    The teacher's steps are the `steps_of_teacher` of diffusers' LCMScheduler (its original_inference_steps). At its
    times c_skip is 0 and c_out 1 within 1e-4, so here the x_0 that the student sees is its answer.
    """

    name = "consistency"

    def __init__(self, settings: StudentSettings, teacher: Teacher, clips: data.Clips, tokenizer):
        if TIMES % settings.steps_of_teacher:
            given = f"steps_of_teacher={settings.steps_of_teacher} does not divide {TIMES}"
            raise ValueError(f"{given}, so the first step would not begin at the last time: use 20, for example.")
        super().__init__(settings, teacher, clips, tokenizer)

    @property
    def schedule(self) -> dict[str, Any]:
        """The scheduler that takes few steps with such a student, and draws fresh noise at each."""
        steps = self.settings.steps_of_teacher
        return SCHEDULE | {"_class_name": "LCMScheduler", "original_inference_steps": steps}

    @property
    def choices(self) -> int:
        """How many steps the teacher has."""
        return self.settings.steps_of_teacher

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        """The pseudo-Huber distance of both answers; the one nearer the end is held still (Song and Dhariwal 2023,
        arXiv 2310.14189, sections 3.2 and 3.3).
        """
        x_0, eps, i, words = batch
        t, before = self.times(i), self.times(i - 1)
        text, empty = self.teacher.embedded(words)
        x_t = self.teacher.noised(x_0, eps, t)
        found = self.answer(x_t, t, text)
        with torch.no_grad():
            x_s = self.teacher.move(x_t, self.teacher.eps(x_t, t, text, empty), t, before)
            wanted = torch.where((before < 0).view(-1, 1, 1, 1, 1), x_s, self.answer(x_s, before.clamp(min=0), text))
        error = (found - wanted).square().mean(dim=(1, 2, 3, 4))
        return ((error + STEEPEST**2).sqrt() - STEEPEST).mean(), {"x_0": error.mean().item()}

    def times(self, i: Tensor) -> Tensor:
        """The time of step i [b] from the end, as LCMScheduler counts: 1000 // steps apart; -1, no noise, below 0."""
        stride = TIMES // self.settings.steps_of_teacher
        return torch.where(i < 0, -1, (i + 1) * stride - 1)

    def answer(self, x_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """The x_0 [b c f h w] that the student sees in x_t."""
        return x_0_from_eps(x_t, self.modules(x_t, t, text).sample, self.teacher.alpha_bar(t))
