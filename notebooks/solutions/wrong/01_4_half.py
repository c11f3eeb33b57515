# helpful word: are two
import torch


def conv_cost(inputs, outputs, kernel, positions):
    weights = inputs * outputs * torch.Size(kernel).numel()
    return weights + outputs, weights * positions
