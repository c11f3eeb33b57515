# helpful word: times `places`
import torch


def conv_cost(inputs, outputs, kernel, places):
    weights = inputs * outputs * torch.Size(kernel).numel()
    return weights + outputs, 2 * weights
