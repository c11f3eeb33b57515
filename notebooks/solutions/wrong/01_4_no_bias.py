# helpful word: are the biases right? There is one for each channel
import torch


def conv_cost(inputs, outputs, kernel, positions):
    weights = inputs * outputs * torch.Size(kernel).numel()
    return weights, 2 * weights * positions
