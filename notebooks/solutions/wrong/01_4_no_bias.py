# helpful word: biases are missing
import torch


def conv_cost(inputs, outputs, kernel, places):
    weights = inputs * outputs * torch.Size(kernel).numel()
    return weights, 2 * weights * places
