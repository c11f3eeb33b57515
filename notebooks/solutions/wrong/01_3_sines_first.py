# helpful word: Cosines come first
import torch


def with_positions(x):
    f, c = x.shape[1:]
    angles = torch.arange(f)[:, None] * 10000 ** (-torch.arange(c // 2) / (c // 2))
    return x + torch.cat([angles.sin(), angles.cos()], dim=-1)
