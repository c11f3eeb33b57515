# helpful word: number the pixels
import torch


def with_positions(x):
    n, f, c = x.shape
    angles = torch.arange(n)[:, None] * 10000 ** (-torch.arange(c // 2) / (c // 2))
    return x + torch.cat([angles.cos(), angles.sin()], dim=-1)[:, None]
