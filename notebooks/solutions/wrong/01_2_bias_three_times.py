# helpful word: three terms, and the bias
import torch


def temporal_conv(x, weight, bias):
    before, here, after = weight[..., 0, 0].unbind(-1)
    b = bias[:, None, None, None]
    y = torch.einsum("oc,bcfhw->bofhw", here, x) + b
    y[:, :, 1:] += torch.einsum("oc,bcfhw->bofhw", before, x[:, :, :-1]) + b
    y[:, :, :-1] += torch.einsum("oc,bcfhw->bofhw", after, x[:, :, 1:]) + b
    return y
