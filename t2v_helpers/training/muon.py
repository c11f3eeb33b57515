"""Muon: gradient descent whose step has the same size in every direction of a weight matrix.

The momentum of a matrix is replaced by the nearest matrix with orthonormal rows or columns, found by five iterations
of Newton and Schulz (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"). The step is scaled
by 0.2 sqrt(longer side), which gives it the size of a step of AdamW (Liu et al. 2025, arXiv 2502.16982, equation 4).
A convolution's weight counts as a matrix [out, in x kernel]. On this course's autoencoder it needs fewer than half of
the steps of AdamW.
"""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's coefficients: they bring singular values near 1 fast, not exactly to 1


class Muon(torch.optim.Optimizer):
    """Muon for weights of two or more axes. Raises ValueError for a weight with fewer."""

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim < 2:
                    raise ValueError(f"Muon needs weights of two or more axes, not {list(p.shape)}; use AdamW there.")

    def step(self) -> None:
        """One step; weights without a gradient stay. Weights of one shape are made orthogonal together."""
        for group in self.param_groups:
            alike = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.flatten(1).shape].append(p)
            numbers = {name: group[name] for name in ("lr", "momentum", "weight_decay")}
            with ThreadPoolExecutor(2) as workers:  # shapes are independent, so their order makes no difference
                list(workers.map(lambda weights, numbers=numbers: self._move(weights, **numbers), alike.values()))

    @torch.no_grad()  # here, since it is set per thread
    def _move(self, weights: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        directions = orthogonal(torch.stack([self._direction(p, momentum) for p in weights]))
        size = 0.2 * max(directions.shape[1:]) ** 0.5
        for p, direction in zip(weights, directions, strict=True):
            p.mul_(1 - lr * weight_decay).add_(direction.view_as(p), alpha=-lr * size)

    def _direction(self, p: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum of a weight, [out, rest]."""
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(state["momentum"], momentum).flatten(1)


def orthogonal(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Matrices [n rows columns] with their singular values brought near 1 (Jordan et al. 2024, the iteration)."""
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
