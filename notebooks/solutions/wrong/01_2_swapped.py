# helpful word: swapped
import torch


def temporal_conv(x, weight, bias):
    after, here, before = weight[..., 0, 0].unbind(-1)
    y = torch.einsum("oc,bcfhw->bofhw", here, x) + bias[:, None, None, None]
    y[:, :, 1:] += torch.einsum("oc,bcfhw->bofhw", before, x[:, :, :-1])
    y[:, :, :-1] += torch.einsum("oc,bcfhw->bofhw", after, x[:, :, 1:])
    return y
