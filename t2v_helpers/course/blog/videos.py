"""The blog's six videos, made again: with one generator for all, as it did, or with one cause changed at a time.

The blog makes them with one random generator that is seeded once, so the k-th video starts from the k-th draw.
`as_published` does the same. `controlled` starts every video from draw 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.course.blog.published import RUNS, Run
from t2v_helpers.diffusion import schedulers
from t2v_helpers.model import denoising, generate, validation
from t2v_helpers.model.generate import Generation

SEED = 1234


@dataclass(frozen=True)
class Made:
    """A video made for a run, and the draw of the generator that it started from (from 1)."""

    run: Run
    draw: int
    generation: Generation

    @property
    def frames(self) -> np.ndarray:
        """uint8 [f h w c]."""
        return self.generation.frames

    @property
    def record(self) -> GenerationRecord:
        """What was asked and found. Its seed is the generator's: the noise is that of `draw`."""
        return self.generation.record

    @property
    def calls_per_second(self) -> float:
        """Calls of the UNet a second, decoding included: lower than what a progress bar shows for the loop alone."""
        return schedulers.unet_calls(self.run.scheduler, self.run.steps) / self.record.seconds


def stream(pipe) -> torch.Generator:
    """The blog's generator: on the pipeline's device, seeded once."""
    return torch.Generator(pipe.execution_device).manual_seed(SEED)


def as_published(pipe, runs: Sequence[Run] = RUNS) -> Iterator[Made]:
    """Each run with one generator that goes on: the k-th video starts from the k-th draw. Errors: see `make`."""
    generator = stream(pipe)
    for draw, run in enumerate(runs, start=1):
        yield make(pipe, run, generator, draw)


def controlled(pipe, runs: Sequence[Run] = RUNS) -> Iterator[Made]:
    """Each run with a fresh generator of the same seed: every video starts from draw 1. Errors: see `make`."""
    for run in runs:
        yield make(pipe, run, stream(pipe), 1)


def make(pipe, run: Run, generator: torch.Generator, draw: int) -> Made:
    """What the blog's call `pipe(prompt, generator=...)` gives, in the run's scheduler, the model's guidance and size.

    draw is the place in the generator's stream where `generator` stands. Errors: those of `validation.check`.
    """
    spec = validation.check(pipe, GenerationSpec(run.prompt, "", SEED, run.scheduler, run.steps, frames=run.frames))
    shape, device = (1, *denoising.latent_shape(pipe, spec)), pipe.execution_device
    latents = torch.randn(shape, generator=generator, device=device, dtype=pipe.unet.dtype)  # [1 c f h w]
    return Made(run, draw, generate.generate(pipe, spec, latents=latents))
