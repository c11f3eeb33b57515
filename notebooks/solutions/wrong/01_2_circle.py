# helpful word: hears the last one
import torch


def temporal_conv(x, weight, bias):
    taps = weight[..., 0, 0].unbind(-1)
    turned = (x.roll(1, dims=2), x, x.roll(-1, dims=2))
    y = sum(torch.einsum("oc,bcfhw->bofhw", tap, part)
            for tap, part in zip(taps, turned, strict=True))
    return y + bias[:, None, None, None]
