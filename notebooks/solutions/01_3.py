import torch


def with_positions(x):
    """x [(b h w) f c] with the number of each frame added, as cosines and sines."""
    f, c = x.shape[1:]
    i = torch.arange(c // 2)
    angles = torch.arange(f)[:, None] * 10000 ** (-i / (c // 2))  # [f c/2]
    return x + torch.cat([angles.cos(), angles.sin()], dim=-1).to(x)  # [(b h w) f c]
