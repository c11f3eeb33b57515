"""Rows of a text encoder's token embedding that learn while all others stay, so that a word gets a meaning.

    rows = add(pipe.text_encoder, [82, 581, 72])  # the change is zero: nothing is different yet
    ...                                           # train rows.change
    remove(pipe.text_encoder)                     # the very same embedding is back

Textual inversion learns such rows and nothing else (Gal et al. 2022, arXiv 2208.01618, section 3).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class LearnedRows(nn.Embedding):
    """A frozen embedding [v d]; to the rows of `tokens` it adds scaling * change [n d], which is float32."""

    def __init__(self, base: nn.Embedding, tokens: Sequence[int]):
        super().__init__(*base.weight.shape, padding_idx=base.padding_idx, _weight=base.weight.detach())
        self.weight = base.weight
        self.base, self.scaling = (base,), 1.0  # in a tuple it is no child, whose weights would be listed twice
        where = base.weight.device
        self.register_buffer("tokens", torch.tensor(tokens, device=where), persistent=False)  # [n]
        self.change = nn.Parameter(torch.zeros(len(tokens), base.embedding_dim, device=where))  # [n d]

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [b t] -> their embeddings [b t d]; those of other tokens bit for bit as before."""
        one_hot = (tokens[..., None] == self.tokens).to(self.change.dtype)  # [b t n]
        return super().forward(tokens) + (self.scaling * (one_hot @ self.change)).to(self.weight.dtype)

    @contextmanager
    def scaled(self, scale: float) -> Iterator[None]:
        """Multiply the change by `scale` inside the `with`."""
        before = self.scaling
        self.scaling = before * scale
        try:
            yield
        finally:
            self.scaling = before


def add(text_encoder: nn.Module, tokens: Sequence[int]) -> LearnedRows:
    """Let the rows of `tokens` learn, and freeze the rest of the text encoder."""
    text_encoder.requires_grad_(False)
    rows = LearnedRows(text_encoder.get_input_embeddings(), tokens)
    text_encoder.set_input_embeddings(rows)
    return rows


def find(text_encoder: nn.Module) -> LearnedRows | None:
    """The rows that `add` made, if any."""
    return next((module for module in text_encoder.modules() if isinstance(module, LearnedRows)), None)


def remove(text_encoder: nn.Module) -> None:
    """Put the old embedding back, if `add` replaced it."""
    if rows := find(text_encoder):
        text_encoder.set_input_embeddings(*rows.base)


@torch.no_grad()
def merge(text_encoder: nn.Module) -> None:
    """Add the change to the embedding itself, and put that back."""
    if rows := find(text_encoder):
        rows.weight[rows.tokens] += rows.change.to(rows.weight.dtype)
        remove(text_encoder)
