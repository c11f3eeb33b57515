def conv_cost(inputs, outputs, kernel, positions):
    """(parameters, flops) of a convolution; kernel is (3, 3) or (3, 1, 1),
    positions are those of its output."""
    weights = inputs * outputs
    for size in kernel:
        weights *= size
    return weights + outputs, 2 * weights * positions
