# helpful word: times `positions`
import torch


def conv_cost(inputs, outputs, kernel, positions):
    weights = inputs * outputs * torch.Size(kernel).numel()
    return weights + outputs, 2 * weights
